//! What an executor can do while it performs a run, and how it says that it could not.

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    clock::Clock,
    model::{
        output::Output,
        run::{Run, RunError},
        usage::Usage,
    },
    outputs::{
        append::{Append, Appended, MAX_OUTPUTS},
        spend::Spend,
    },
    queue::hand_over::HandOver,
    store::{Store, runs::Fence},
};

/// One attempt at a run, under one lease.
pub struct Attempt<'a> {
    store: &'a Store,
    clock: &'a Clock,
    fence: Fence,
    over: DropGuard,
}

impl<'a> Attempt<'a> {
    /// The attempt that this run's lease allows.
    pub fn new(store: &'a Store, clock: &'a Clock, run: &Run) -> Self {
        let fence = Fence { run: run.id, epoch: run.epoch };
        Self { store, clock, fence, over: CancellationToken::new().drop_guard() }
    }

    /// The attempt's lease: every write names it.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Says something before the end, and answers how many outputs the attempt has said now. It is durable and shows in
    /// events; it is delivered only when the attempt ends well. An attempt says at most [`MAX_OUTPUTS`].
    pub async fn say(&self, outputs: Vec<Output>) -> Result<i64, Failure> {
        let append = Append { fence: self.fence, outputs, now_ms: self.clock.now_ms() };
        match self.store.write(append).await {
            Ok(Appended::Total(total)) => Ok(total),
            Ok(Appended::Lost) => Err(lost()),
            Ok(Appended::Cancelled) => {
                Err(Failure::fatal("cancelled", "somebody asked for the end of the run".to_owned()))
            }
            Ok(Appended::UnknownAsset(id)) => {
                Err(Failure::fatal("asset_not_found", format!("there is no asset `{id}` to go out")))
            }
            Ok(Appended::TooMany) => {
                Err(Failure::fatal("too_many_outputs", format!("a run says at most {MAX_OUTPUTS} outputs")))
            }
            Err(error) => Err(Failure::passing("store_failed", error.to_string())),
        }
    }

    /// Adds to what the run consumed, whether the attempt ends well or not. An attempt says each token once.
    pub async fn spend(&self, usage: Usage) -> Result<(), Failure> {
        match self.store.write(Spend { fence: self.fence, usage }).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost()),
            Err(error) => Err(Failure::passing("store_failed", error.to_string())),
        }
    }

    /// Gives the lease to `owner`, who renews it or loses it after so many milliseconds. From then on the daemon renews it no
    /// more, and a restart leaves it alone. When it was lost meanwhile somebody has ended the run: nothing is left to do.
    pub async fn hand_over(&self, owner: &str, lease_ms: i64) -> Result<(), Failure> {
        let until_ms = self.clock.now_ms() + lease_ms;
        match self.store.write(HandOver { fence: self.fence, owner: owner.to_owned(), until_ms }).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::passing("store_failed", error.to_string())),
        }
    }

    /// Ends when the attempt does: with its answer, with its lease, or because the run was cancelled. The future of
    /// `perform` is dropped then; this is for tasks that it has started.
    pub fn over(&self) -> CancellationToken {
        self.over.token().clone()
    }
}

fn lost() -> Failure {
    Failure::passing("lease_lost", "the lease is over: the run has ended or is somebody else's".to_owned())
}

/// Why an attempt has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the run's view says when nothing else is tried.
    pub error: RunError,
    /// Whether another attempt may help.
    pub again: Again,
}

/// Whether another attempt at a run may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It cannot: the run fails.
    Never,
    /// It may, after the wait that the queue's settings give; the run fails after `queue.max_attempts`.
    Later,
    /// The same, and not before this many milliseconds.
    NotBefore(i64),
}

impl Failure {
    /// A failure that no other attempt mends.
    pub fn fatal(code: &str, detail: String) -> Self {
        Self { error: RunError { code: code.to_owned(), detail }, again: Again::Never }
    }

    /// A failure after which another attempt may help.
    pub fn passing(code: &str, detail: String) -> Self {
        Self { error: RunError { code: code.to_owned(), detail }, again: Again::Later }
    }

    /// The same, but no attempt before this many milliseconds.
    #[must_use]
    pub fn not_before(self, wait_ms: i64) -> Self {
        Self { again: Again::NotBefore(wait_ms), ..self }
    }
}
