//! The real daemon, tested through its front door.

#![expect(clippy::unwrap_used, reason = "what helpers cannot do fails the test that asked for it")]

mod config;
mod containment;
mod crash;
mod delivery;
mod duplicates;
mod http_contract;
mod plugins;
mod runs;
mod tidy;
