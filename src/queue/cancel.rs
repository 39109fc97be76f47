//! Cancellation: a run that waits ends at once; one that a worker holds ends when the worker knows, or its lease is over.

use crate::{
    model::{
        happening::{RunChange, run_updated},
        ids::RunId,
        run::RunStatus,
    },
    store::{
        StoreError, downloads, gatherings,
        heads::{self, Line},
        runs,
        writer::{Command, Tx},
    },
};

/// Asks for the end of a run.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// Which run.
    pub run: RunId,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and is cancelled now.
    AtOnce,
    /// Somebody holds it and will be told; it was asked for now or before.
    Asked,
    /// It waited, and another daemon took it in between: ask again.
    Moved,
    /// It had ended like this.
    Ended(RunStatus),
    /// There is no such run.
    Missing,
}

impl Command for Cancel {
    type Reply = Cancelled;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Cancelled>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for cancel in batch {
            replies.push(cancel_one(*cancel, tx).await?);
        }
        Ok(replies)
    }
}

async fn cancel_one(cancel: Cancel, tx: &mut Tx<'_>) -> Result<Cancelled, StoreError> {
    let asked = runs::ask_to_end(tx, cancel.run, cancel.now_ms).await?;
    let Some(run) = runs::find(tx, cancel.run).await? else {
        return Ok(Cancelled::Missing);
    };
    match run.status {
        RunStatus::Running => {
            if asked {
                tx.record(run_updated(&run, RunChange::CancelRequested));
                tx.wake_cancels();
            }
            Ok(Cancelled::Asked)
        }
        RunStatus::Queued => {
            // The session is locked before its run, as by a claim.
            heads::lock_of(tx, Line::Sessions, run.id).await?;
            if !runs::withdraw(tx, run.id, cancel.now_ms).await? {
                return Ok(Cancelled::Moved);
            }
            heads::withdraw(tx, run.session.as_str(), cancel.now_ms).await?;
            let waited = [gatherings::end(tx, run.id).await?, downloads::abandon(tx, run.id).await?];
            if waited.contains(&true) {
                heads::hurry(tx, run.session.as_str(), cancel.now_ms).await?;
            }
            tx.record(run_updated(&run, RunChange::Cancelled));
            Ok(Cancelled::AtOnce)
        }
        ended => Ok(Cancelled::Ended(ended)),
    }
}
