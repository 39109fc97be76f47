//! Transaction 3, finish: the run ends, its last outputs are stored, and each of its outputs gets one delivery per
//! reply target. The session moves on.

use std::collections::HashMap;

use super::append::{Append, Appended};
use crate::{
    clock::Clock,
    metrics::label::RunOutcome,
    model::{
        delivery::DeliveryStatus,
        happening::{DeliveryNow, RunChange, delivery_updated, run_updated},
        ids::RunId,
        output::Output,
        run::{Run, RunError, RunStatus},
        target::ReplyTarget,
    },
    store::{
        StoreError,
        deliveries::{self, NewDelivery},
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
    /// Where time and new ids come from.
    pub clock: Clock,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With these outputs, after those it said before.
    Completed(Vec<Output>),
    /// Without an answer; what it said before is not delivered.
    Failed(RunError),
    /// Without an answer this time: it goes back to the front of its session.
    Retry,
}

impl End {
    /// How it is counted.
    pub fn outcome(&self) -> RunOutcome {
        match self {
            Self::Completed(_) => RunOutcome::Completed,
            Self::Failed(_) => RunOutcome::Failed,
            Self::Retry => RunOutcome::Requeued,
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Done, or done before under the same epoch.
    Done(RunId),
    /// The lease was lost; nothing was written.
    Lost,
    /// It said more than a run may; nothing was written.
    TooMany,
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
    let Some(run) = runs::find(tx, finish.fence.run).await?.filter(|run| run.epoch == finish.fence.epoch) else {
        return Ok(Finished::Lost);
    };
    match (run.status, &finish.end) {
        (RunStatus::Running, End::Completed(said)) => complete(finish, &run, said, tx).await,
        (RunStatus::Running, End::Failed(error)) => {
            runs::end(tx, finish.fence, RunStatus::Failed, Some(error), finish.clock.now_ms()).await?;
            tx.record(run_updated(&run, RunChange::Failed(error.clone())));
            move_on(tx, &run, finish.clock.now_ms()).await
        }
        (RunStatus::Running, End::Retry) => {
            let now_ms = finish.clock.now_ms();
            runs::requeue(tx, finish.fence).await?;
            tx.record(run_updated(&run, RunChange::Requeued));
            heads::put_back(tx, Line::Sessions, &head(&run), now_ms, now_ms).await?;
            tx.wake_runs();
            Ok(Finished::Done(run.id))
        }
        // The answer to an earlier call was lost on its way: the same call again changes nothing.
        (RunStatus::Completed, End::Completed(_)) | (RunStatus::Failed, End::Failed(_)) => Ok(Finished::Done(run.id)),
        _ => Ok(Finished::Lost),
    }
}

async fn complete(finish: &Finish, run: &Run, said: &[Output], tx: &mut Tx<'_>) -> Result<Finished, StoreError> {
    let now_ms = finish.clock.now_ms();
    let append = Append { fence: finish.fence, outputs: said.to_vec(), now_ms };
    let total = match Append::apply(&[append], tx).await?.first() {
        Some(Appended::Total(total)) => *total,
        Some(Appended::TooMany) => return Ok(Finished::TooMany),
        _ => return Ok(Finished::Lost),
    };
    runs::end(tx, finish.fence, RunStatus::Completed, None, now_ms).await?;
    tx.record(run_updated(run, RunChange::Completed(total)));
    address(finish, run, total, tx).await?;
    move_on(tx, run, now_ms).await
}

/// One delivery for each output and reply target, behind what waits in the target's lane.
async fn address(finish: &Finish, run: &Run, outputs: i64, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if outputs == 0 || run.request.reply_targets.is_empty() {
        return Ok(());
    }
    let now_ms = finish.clock.now_ms();
    let lanes: Vec<String> = run.request.reply_targets.iter().map(ReplyTarget::lane).collect();
    let mut added: HashMap<&str, i64> = HashMap::new();
    lanes.iter().for_each(|lane| *added.entry(lane).or_default() += outputs);
    let mut added: Vec<(&str, i64)> = added.into_iter().collect();
    added.sort_unstable();
    let tails = heads::extend(tx, Line::Lanes, &added, now_ms).await?;
    let mut next: HashMap<&str, i64> = HashMap::new();
    for (lane, count) in &added {
        let tail = tails.get(*lane).ok_or(StoreError::Damaged("a lane that was extended is not there"))?;
        next.insert(lane, tail.last_seq - count + 1);
    }
    let mut rows = Vec::new();
    for ordinal in 0..outputs {
        for (target, lane) in run.request.reply_targets.iter().zip(&lanes) {
            let seq = next.entry(lane).or_default();
            rows.push(NewDelivery { id: finish.clock.delivery_id(), run, ordinal, target, lane, seq: *seq });
            *seq += 1;
        }
    }
    deliveries::insert(tx, &rows, now_ms).await?;
    rows.iter().for_each(|row| tx.record(delivery_updated(pending(row))));
    tx.wake_deliveries();
    Ok(())
}

fn pending<'a>(row: &NewDelivery<'a>) -> DeliveryNow<'a> {
    DeliveryNow {
        id: row.id,
        run: row.run.id,
        session: &row.run.session,
        plugin: &row.target.plugin,
        status: DeliveryStatus::Pending,
        attempts: 0,
    }
}

async fn move_on(tx: &mut Tx<'_>, run: &Run, now_ms: i64) -> Result<Finished, StoreError> {
    heads::release(tx, Line::Sessions, &head(run), now_ms).await?;
    tx.wake_runs();
    Ok(Finished::Done(run.id))
}

fn head(run: &Run) -> Claimed {
    Claimed { id: run.session.as_str().to_owned(), epoch: run.epoch }
}
