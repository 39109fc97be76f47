//! The nouns, as plain data. Nothing here does I/O, reads a clock or knows a stage.
//!
//! An [`event::Event`] becomes a [`run::Run`] in a session; an executor answers with [`output::Output`]s; each output
//! goes to the run's [`target::ReplyTarget`]s as deliveries. Of each step a [`happening::Happening`] tells.

pub mod artifact;
pub mod delivery;
pub mod event;
pub mod happening;
pub mod ids;
pub mod output;
pub mod pause;
pub mod roster;
pub mod run;
pub mod secret;
pub mod target;
pub mod usage;
pub mod written;
