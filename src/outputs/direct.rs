//! An output that no executor said: an operator's words, in a run of their own that is complete from the start.
//!
//! So every delivery has a run, and what is true of runs, their outputs and their events is true of these.

use serde_json::{Map, value::to_raw_value};

use super::{
    address::{self, Desk},
    append,
    finish::{End, Finish},
};
use crate::{
    model::{
        happening::{self, RunChange, run_updated},
        ids::{RunId, SessionId},
        output::Output,
        run::{Run, RunRequest, RunStatus},
        target::ReplyTarget,
    },
    store::{
        StoreError, outputs,
        receipts::{self, NewReceipt},
        runs::{self, Fence},
        sessions,
        writer::{Command, Tx},
    },
};

/// Says something in a session.
#[derive(Clone)]
pub struct Say {
    /// The run that is made of it; its key finds it again, where it has one.
    pub receipt: Option<NewReceipt>,
    /// The run's id.
    pub run: RunId,
    /// The session.
    pub session: SessionId,
    /// Where it goes, as it is stored.
    pub target: ReplyTarget,
    /// What is said, and the files that go along.
    pub output: Output,
    /// What its delivery is made with.
    pub desk: Desk,
}

/// Why nothing was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// There is no such session.
    UnknownSession,
    /// The key was used for something else.
    Conflict,
    /// This file, which was to go along, does not exist.
    UnknownAsset(String),
}

impl Command for Say {
    /// The run, made now or before under the same key.
    type Reply = Result<RunId, Unsaid>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for say in batch {
            replies.push(say_one(say, tx).await?);
        }
        Ok(replies)
    }
}

async fn say_one(say: &Say, tx: &mut Tx<'_>) -> Result<Result<RunId, Unsaid>, StoreError> {
    let now_ms = say.desk.clock.now_ms();
    if let Some(receipt) = &say.receipt {
        let known = receipts::find_by_keys(tx, &[receipt.key]).await?;
        if let Some(known) = known.get(receipt.key.as_slice()) {
            let same = known.fingerprint == receipt.fingerprint;
            return Ok(if same { Ok(known.run) } else { Err(Unsaid::Conflict) });
        }
    }
    let said = std::slice::from_ref(&say.output);
    // Before anything is written: a refusal takes nothing back.
    let request = request(say)?;
    let known = match append::files(said, &request, tx).await? {
        Ok(known) => known,
        Err(missing) => return Ok(Err(Unsaid::UnknownAsset(missing))),
    };
    let Some(seq) = sessions::next_seq(tx, &say.session, now_ms).await? else {
        return Ok(Err(Unsaid::UnknownSession));
    };
    if let Some(receipt) = say.receipt {
        receipts::insert(tx, &[receipt], now_ms).await?;
    }
    let run = run(say, request, (seq, now_ms));
    let fence = Fence { run: run.id, epoch: run.epoch };
    runs::insert(tx, std::slice::from_ref(&run)).await?;
    runs::complete(tx, run.id, now_ms).await?;
    let rows = append::hold(run.id, said, &known, tx).await?;
    outputs::append(tx, fence, 0, &rows, now_ms).await?;
    tx.record(happening::output(&run, 0, &say.output));
    tx.record(run_updated(&run, RunChange::Completed(1)));
    let finish = Finish { fence, end: End::Completed(Vec::new()), desk: say.desk.clone() };
    address::address(&finish, &run, 1, tx).await?;
    Ok(Ok(run.id))
}

/// Nobody asked for it.
fn request(say: &Say) -> Result<RunRequest, StoreError> {
    let metadata = to_raw_value(&Map::new()).map_err(|_| StoreError::Damaged("an empty object cannot be written"))?;
    Ok(RunRequest {
        source_plugin: "api".to_owned(),
        source_kind: "delivery".to_owned(),
        actor: None,
        input: Vec::new(),
        metadata,
        reply_targets: vec![say.target.clone()],
    })
}

fn run(say: &Say, request: RunRequest, (seq, now_ms): (i64, i64)) -> Run {
    Run {
        id: say.run,
        session: say.session.clone(),
        seq,
        status: RunStatus::Completed,
        epoch: 0,
        attempt: 0,
        request,
        submitted_ms: now_ms,
        started_ms: None,
        finished_ms: Some(now_ms),
        error: None,
        body_pruned: false,
        cancel_ms: None,
        executor: String::new(),
        usage: None,
    }
}
