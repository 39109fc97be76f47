//! A connector host: messages in, durable runs, answers out.
//!
//! ```text
//!  outside ──► ingress ──► sessions ──► queue ──► executor ──► outputs ──► delivery ──► outside
//!                 │ receive                                                    │ send
//!                 └── connectors (sandboxed plugins)                           └── egress
//!  ──────────────────────────────── store ────────────────────────────────────────────
//! ```
//!
//! Four transactions carry everything forward, and nothing moves between stages in memory only: the row is the
//! message, a wake-up is only a hint, and no stage calls back into an earlier one. A crash can fall only between them.
//!
//! | transaction | from → to | writes, all or nothing |
//! |---|---|---|
//! | [`ingress::accept`] | ingress → sessions → queue | receipt, session and bindings, queued run with its reply targets |
//! | [`queue::claim`] | queue → executor | run leased, fenced by an epoch |
//! | [`outputs::finish`] | executor → outputs → delivery | run ended, outputs, one delivery for each reply target |
//! | [`delivery::settle`] | delivery | delivered, next attempt, unknown, or dead letter, with the plugin's effects |
//!
//! Read in this order: [`model`] (the nouns), [`app`] (who is wired to whom), then the stages [`ingress`],
//! [`sessions`], [`queue`], [`executor`], [`outputs`], [`delivery`]; what they stand on: [`assets`] (files), [`connectors`] (plugins
//! and the sandbox), [`external`] (sidecars: programs of their own, spoken to over HTTP), [`registry`] (which connectors there are, and the one reconciler), [`store`] (one database, one writer),
//! [`retention`] (what old rows make room), [`duties`] (what exactly one of several daemons does),
//! [`egress`] (outbound HTTP), [`metrics`] (what is counted), [`presence`] (signs that an answer is on
//! its way), [`secrets`] and the [`vault`] that keeps them sealed; what is said
//! over HTTP: [`wire`]; and the edges: [`api`], [`server`], [`config`], [`cli`], [`lifecycle`], [`nearest`], [`places`],
//! [`state_folder`], [`telemetry`], [`clock`]; and a process of its own: [`guard`].

pub mod model;

pub mod app;

pub mod delivery;
pub mod executor;
pub mod ingress;
pub mod outputs;
pub mod queue;
pub mod sessions;

pub mod assets;
pub mod connectors;
pub mod duties;
pub mod egress;
pub mod external;
pub mod metrics;
pub mod presence;
pub mod registry;
pub mod retention;
pub mod secrets;
pub mod store;
pub mod vault;

pub mod wire;

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod guard;
pub mod lifecycle;
pub mod nearest;
pub mod places;
pub mod server;
pub mod state_folder;
pub mod telemetry;
