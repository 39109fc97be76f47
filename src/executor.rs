//! Stage 4: turn a run into outputs.
//!
//! Executors have names, and a session has one of them. Of the type `claim`, programs elsewhere pull runs over HTTP and this
//! stage only sweeps ended leases; of the other types the daemon performs them itself, each with a [`worker`] of its own.

use crate::model::{output::Output, run::Run};
use async_trait::async_trait;

pub mod attempt;
pub mod echo;
pub mod health;
pub mod openai;
pub mod push;
pub mod settings;
pub mod sweeper;
pub mod worker;

use attempt::{Attempt, Failure};

/// How an attempt goes out without a failure.
#[derive(Debug)]
pub enum Answer {
    /// The run ends well, with these outputs.
    Said(Vec<Output>),
    /// Somebody else holds the lease now ([`Attempt::hand_over`]) and ends the run.
    HandedOver,
}

impl From<Vec<Output>> for Answer {
    fn from(outputs: Vec<Output>) -> Self {
        Self::Said(outputs)
    }
}

/// Performs runs inside the daemon.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Answers one run, with the outputs that follow those said before ([`Attempt::say`]). Called once for each claim, many
    /// at a time; the lease is renewed meanwhile. The future is dropped when the lease is lost or the run is cancelled:
    /// what it holds must end with it.
    async fn perform(&self, run: &Run, attempt: &Attempt<'_>) -> Result<Answer, Failure>;
}
