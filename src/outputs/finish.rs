//! Transaction 3, finish: the run ends, its last outputs are stored, and each of its outputs gets one delivery per
//! reply target. The session moves on.

use super::{
    address::{self, Desk},
    append::{Append, Appended},
};
use crate::{
    metrics::label::RunOutcome,
    model::{
        happening::{RunChange, run_updated},
        ids::RunId,
        output::Output,
        run::{Run, RunError, RunStatus},
    },
    store::{
        StoreError,
        heads::{self, Claimed, Line},
        runs::{self, Fence},
        writer::{Command, Tx},
    },
};

/// Ends a run.
#[derive(Clone)]
pub struct Finish {
    /// Which run, under which epoch.
    pub fence: Fence,
    /// How it ended.
    pub end: End,
    /// What its deliveries are made with.
    pub desk: Desk,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With these outputs, after those it said before.
    Completed(Vec<Output>),
    /// Without an answer; what it said before is not delivered.
    Failed(RunError),
    /// Without an answer this time: it goes back to the front of its session.
    Retry {
        /// How long it waits there, in milliseconds.
        wait_ms: i64,
    },
    /// Its work was stopped because somebody asked for its end. Every other end becomes this one then.
    Stopped,
}

impl End {
    /// How it is counted.
    pub fn outcome(&self) -> RunOutcome {
        match self {
            Self::Completed(_) => RunOutcome::Completed,
            Self::Failed(_) => RunOutcome::Failed,
            Self::Retry { .. } => RunOutcome::Requeued,
            Self::Stopped => RunOutcome::Cancelled,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Done, or done before under the same epoch.
    Done(RunId),
    /// Somebody had asked for its end: it is cancelled, and what it said is not delivered.
    Cancelled(RunId),
    /// The lease was lost; nothing was written.
    Lost,
    /// It said more than a run may; nothing was written.
    TooMany,
    /// This asset, which was to go out, does not exist; nothing was written.
    UnknownAsset(String),
}

impl Command for Finish {
    type Reply = Finished;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Finished>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for finish in batch {
            replies.push(finish_one(finish, tx).await?);
        }
        Ok(replies)
    }
}

async fn finish_one(finish: &Finish, tx: &mut Tx<'_>) -> Result<Finished, StoreError> {
    // The session is locked before its run, as by a sweep that finds the lease over.
    heads::lock_of(tx, Line::Sessions, finish.fence.run).await?;
    let Some(run) = runs::find(tx, finish.fence.run).await?.filter(|run| run.epoch == finish.fence.epoch) else {
        return Ok(Finished::Lost);
    };
    match (run.status, &finish.end) {
        (RunStatus::Running, _) if run.cancel_ms.is_some() => {
            let now_ms = finish.desk.clock.now_ms();
            runs::end(tx, finish.fence, RunStatus::Cancelled, None, now_ms).await?;
            tx.record(run_updated(&run, RunChange::Cancelled));
            move_on(tx, &run, now_ms).await?;
            Ok(Finished::Cancelled(run.id))
        }
        (RunStatus::Running, End::Completed(said)) => complete(finish, &run, said, tx).await,
        (RunStatus::Running, End::Failed(error)) => {
            runs::end(tx, finish.fence, RunStatus::Failed, Some(error), finish.desk.clock.now_ms()).await?;
            tx.record(run_updated(&run, RunChange::Failed(error.clone())));
            move_on(tx, &run, finish.desk.clock.now_ms()).await
        }
        (RunStatus::Running, End::Retry { wait_ms }) => {
            let now_ms = finish.desk.clock.now_ms();
            runs::requeue(tx, finish.fence).await?;
            tx.record(run_updated(&run, RunChange::Requeued));
            heads::put_back(tx, Line::Sessions, &head(&run), now_ms + wait_ms, now_ms).await?;
            tx.wake_runs();
            Ok(Finished::Done(run.id))
        }
        // The answer to an earlier call was lost on its way: the same call again changes nothing.
        (RunStatus::Completed, End::Completed(_)) | (RunStatus::Failed, End::Failed(_)) => Ok(Finished::Done(run.id)),
        (RunStatus::Cancelled, _) => Ok(Finished::Cancelled(run.id)),
        _ => Ok(Finished::Lost),
    }
}

async fn complete(finish: &Finish, run: &Run, said: &[Output], tx: &mut Tx<'_>) -> Result<Finished, StoreError> {
    let now_ms = finish.desk.clock.now_ms();
    let append = Append { fence: finish.fence, outputs: said.to_vec(), now_ms };
    let total = match Append::apply(&[append], tx).await?.first() {
        Some(Appended::Total(total)) => *total,
        Some(Appended::TooMany) => return Ok(Finished::TooMany),
        Some(Appended::UnknownAsset(id)) => return Ok(Finished::UnknownAsset(id.clone())),
        _ => return Ok(Finished::Lost),
    };
    runs::end(tx, finish.fence, RunStatus::Completed, None, now_ms).await?;
    tx.record(run_updated(run, RunChange::Completed(total)));
    address::address(finish, run, total, tx).await?;
    move_on(tx, run, now_ms).await
}

async fn move_on(tx: &mut Tx<'_>, run: &Run, now_ms: i64) -> Result<Finished, StoreError> {
    heads::release(tx, Line::Sessions, &head(run), now_ms).await?;
    tx.wake_runs();
    Ok(Finished::Done(run.id))
}

fn head(run: &Run) -> Claimed {
    Claimed { id: run.session.as_str().to_owned(), epoch: run.epoch }
}
