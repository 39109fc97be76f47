//! Stage 4: turn a run into outputs.
//!
//! With `claim`, programs elsewhere pull runs over HTTP and this stage only sweeps ended leases; with `echo`
//! and `openai`, the daemon performs them itself ([`worker`]).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{output::Output, run::Run};

pub mod attempt;
pub mod echo;
pub mod openai;
pub mod sweeper;
pub mod worker;

use attempt::{Attempt, Failure};
use openai::settings::OpenAiSettings;

/// Who performs runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// The daemon answers with the run's own text; for trying things out.
    Echo,
    /// Programs elsewhere claim runs over HTTP.
    #[default]
    Claim,
    /// A model answers: the endpoint that `[executors.openai]` names.
    Openai,
}

/// Executors that need settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorsSettings {
    /// A chat-completions endpoint.
    pub openai: Option<OpenAiSettings>,
}

/// Performs runs inside the daemon.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Answers one run, with the outputs that follow those said before ([`Attempt::say`]). Called once for each claim, many
    /// at a time; the lease is renewed meanwhile. The future is dropped when the lease is lost or the run is cancelled:
    /// what it holds must end with it.
    async fn perform(&self, run: &Run, attempt: &Attempt<'_>) -> Result<Vec<Output>, Failure>;
}
