//! Stage 4: turn a run into outputs.
//!
//! With `claim`, programs elsewhere pull runs over HTTP and this stage only sweeps ended leases; with `echo`, the
//! daemon performs them itself ([`worker`]).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{
    output::Output,
    run::{Run, RunError},
};

pub mod echo;
pub mod sweeper;
pub mod worker;

/// Who performs runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// The daemon answers with the run's own text; for trying things out.
    Echo,
    /// Programs elsewhere claim runs over HTTP.
    #[default]
    Claim,
}

/// Performs runs inside the daemon.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Answers one run. Called once for each claim, many at a time; the lease is renewed meanwhile. When it is lost,
    /// or somebody cancels the run, the future is dropped where it stands.
    async fn perform(&self, run: &Run) -> Result<Vec<Output>, RunError>;
}
