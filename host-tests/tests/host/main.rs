//! The real daemon, tested through its front door.

#![expect(clippy::unwrap_used, reason = "what helpers cannot do fails the test that asked for it")]

mod assets;
mod auth;
mod bridges;
mod cli;
mod config;
mod containment;
mod crash;
mod delivery;
mod downloads;
mod duplicates;
mod duties;
mod events;
mod examples;
mod executors;
mod guard;
mod http_contract;
mod openai;
mod openapi;
mod plugins;
mod presence;
mod registry;
mod requests;
mod retention;
mod runs;
mod secrets;
mod sidecars;
mod slack;
mod telegram;
mod telemetry;
mod tidy;
