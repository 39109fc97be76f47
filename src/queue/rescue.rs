//! Giving back what nobody holds any more: leases past their end, and leases of a former process.

use crate::{
    model::{
        happening::{RunChange, run_updated},
        run::{Run, RunError, RunStatus},
    },
    store::{
        StoreError,
        heads::{self, Claimed, Former, Line},
        runs::{self, Fence},
        writer::{Command, Tx},
    },
};

/// Leases in one sweep; more are found by the next.
pub const SWEEP_LIMIT: usize = 256;

/// Looks for abandoned leases.
#[derive(Clone, Debug)]
pub struct Rescue {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// Claims of one run that may end without an answer.
    pub max_attempts: i64,
    /// At start: what leases of this daemon's former processes look like, and this process's own name.
    pub former: Option<(String, String)>,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Leases that it looked at, at most [`SWEEP_LIMIT`].
    pub seen: usize,
    /// Runs that wait again.
    pub requeued: usize,
    /// Runs that had their last attempt.
    pub failed: usize,
    /// Runs whose end somebody had asked for.
    pub cancelled: usize,
}

impl Command for Rescue {
    type Reply = Rescued;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Rescued>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for rescue in batch {
            replies.push(sweep(rescue, tx).await?);
        }
        Ok(replies)
    }
}

async fn sweep(rescue: &Rescue, tx: &mut Tx<'_>) -> Result<Rescued, StoreError> {
    let former = rescue.former.as_ref().map(|(family, me)| Former { family, me });
    let mut rescued = Rescued::default();
    for head in heads::abandoned(tx, Line::Sessions, rescue.now_ms, SWEEP_LIMIT as i64, former).await? {
        rescued.seen += 1;
        match runs::active(tx, &head.id).await? {
            Some(run) if run.cancel_ms.is_some() => {
                cancel(tx, &head, &run, rescue).await?;
                rescued.cancelled += 1;
            }
            Some(run) if run.attempt >= rescue.max_attempts => {
                give_up(tx, &head, &run, rescue).await?;
                rescued.failed += 1;
            }
            Some(run) => {
                runs::requeue(tx, Fence { run: run.id, epoch: run.epoch }).await?;
                heads::put_back(tx, Line::Sessions, &head, rescue.now_ms, rescue.now_ms).await?;
                tx.record(run_updated(&run, RunChange::Requeued));
                rescued.requeued += 1;
            }
            None => {
                heads::release(tx, Line::Sessions, &head, rescue.now_ms).await?;
            }
        }
        tx.wake_runs();
    }
    Ok(rescued)
}

async fn cancel(tx: &mut Tx<'_>, head: &Claimed, run: &Run, rescue: &Rescue) -> Result<(), StoreError> {
    let fence = Fence { run: run.id, epoch: run.epoch };
    runs::end(tx, fence, RunStatus::Cancelled, None, rescue.now_ms).await?;
    tx.record(run_updated(run, RunChange::Cancelled));
    heads::release(tx, Line::Sessions, head, rescue.now_ms).await?;
    Ok(())
}

async fn give_up(tx: &mut Tx<'_>, head: &Claimed, run: &Run, rescue: &Rescue) -> Result<(), StoreError> {
    let error = RunError {
        code: "attempts_exhausted".to_owned(),
        detail: format!("{} workers took the run and none ended it before its lease did", run.attempt),
    };
    let fence = Fence { run: run.id, epoch: run.epoch };
    runs::end(tx, fence, RunStatus::Failed, Some(&error), rescue.now_ms).await?;
    tx.record(run_updated(run, RunChange::Failed(error)));
    heads::release(tx, Line::Sessions, head, rescue.now_ms).await?;
    Ok(())
}
