//! Runs: statements.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use super::{
    Store, StoreError, only,
    sql::{Conditions, Query, Row, portions},
    tally_codes,
    writer::Tx,
};
use crate::model::{
    ids::{RunId, SessionId},
    run::{Run, RunError, RunInput, RunRequest, RunStatus},
    target::ReplyTarget,
    usage::Usage,
};

const COLUMNS: &str = "id, session_id, seq, status, epoch, attempt, source_plugin, source_kind, actor, input, metadata, \
                       reply_targets, submitted_ms, started_ms, finished_ms, error_code, error_detail, body_pruned, cancel_ms, usage, \
                       COALESCE((SELECT executor FROM sessions WHERE sessions.id = runs.session_id), '')";

/// A run's fence: only the holder of this lease may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run: RunId,
    /// The epoch under which it was claimed.
    pub epoch: i64,
}

/// Writes queued runs.
pub async fn insert(tx: &mut Tx<'_>, runs: &[Run]) -> Result<(), StoreError> {
    for chunk in portions(runs) {
        let head = format!(
            "{} runs (id, session_id, seq, status, epoch, attempt, source_plugin, source_kind, actor, input, metadata, \
             reply_targets, submitted_ms) VALUES",
            tx.dialect().insert_many()
        );
        let mut query = Query::rows(&head, 13, chunk.len(), "");
        for run in chunk {
            query = query
                .bind(run.id)
                .bind(&run.session)
                .bind(run.seq)
                .bind(RunStatus::Queued as i64)
                .bind(0)
                .bind(0)
                .bind(run.request.source_plugin.as_str())
                .bind(run.request.source_kind.as_str())
                .bind(run.request.actor.clone())
                .bind(json(&run.request.input)?)
                .bind(run.request.metadata.get())
                .bind(json(&run.request.reply_targets)?)
                .bind(run.submitted_ms);
        }
        tx.execute(query).await?;
    }
    Ok(())
}

/// Takes the run at the front of a session that the caller has just claimed, unless it waits for files or for further events.
pub async fn take_front(tx: &mut Tx<'_>, session: &str, epoch: i64, now_ms: i64) -> Result<Option<Run>, StoreError> {
    let query = Query::new(format!(
        "UPDATE runs SET status = 1, epoch = ?, attempt = attempt + 1, started_ms = ? \
         WHERE session_id = ? AND seq = (SELECT front FROM sessions WHERE sessions.id = runs.session_id) AND status = 0 \
         AND NOT EXISTS (SELECT 1 FROM downloads WHERE run_id = runs.id) \
         AND NOT EXISTS (SELECT 1 FROM gatherings WHERE run_id = runs.id) RETURNING {COLUMNS}"
    ));
    let rows = tx.fetch(query.bind(epoch).bind(now_ms).bind(session)).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The run that is active in a session.
pub async fn active(tx: &mut Tx<'_>, session: &str) -> Result<Option<Run>, StoreError> {
    let query = Query::new(format!("SELECT {COLUMNS} FROM runs WHERE session_id = ? AND status = 1"));
    tx.fetch(query.bind(session)).await?.into_iter().next().map(read).transpose()
}

/// Any run, in the writer's view.
pub async fn find(tx: &mut Tx<'_>, id: RunId) -> Result<Option<Run>, StoreError> {
    let query = Query::new(format!("SELECT {COLUMNS} FROM runs WHERE id = ?"));
    tx.fetch(query.bind(id)).await?.into_iter().next().map(read).transpose()
}

/// The input of a run that is queued. Its session is locked by the caller.
pub async fn queued_input(tx: &mut Tx<'_>, id: RunId) -> Result<Option<Vec<RunInput>>, StoreError> {
    let rows = tx.fetch(Query::new("SELECT input FROM runs WHERE id = ? AND status = 0").bind(id)).await?;
    rows.into_iter().next().map(|mut row| from_json(&row.take::<String>()?)).transpose()
}

/// Changes the input of a run that is queued.
pub async fn set_queued_input(tx: &mut Tx<'_>, id: RunId, input: &[RunInput]) -> Result<(), StoreError> {
    let query = Query::new("UPDATE runs SET input = ? WHERE id = ? AND status = 0").bind(json(&input)?).bind(id);
    tx.execute(query).await.map(drop)
}

/// The metadata of a run that is queued. Its session is locked by the caller.
pub async fn queued_metadata(tx: &mut Tx<'_>, id: RunId) -> Result<Option<String>, StoreError> {
    let rows = tx.fetch(Query::new("SELECT metadata FROM runs WHERE id = ? AND status = 0").bind(id)).await?;
    rows.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Changes the metadata of a run that is queued.
pub async fn set_queued_metadata(tx: &mut Tx<'_>, id: RunId, metadata: &str) -> Result<(), StoreError> {
    let query = Query::new("UPDATE runs SET metadata = ? WHERE id = ? AND status = 0").bind(metadata).bind(id);
    tx.execute(query).await.map(drop)
}

/// Ends a run. False when the lease was lost.
pub async fn end(
    tx: &mut Tx<'_>,
    fence: Fence,
    status: RunStatus,
    error: Option<&RunError>,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let query = Query::new(
        "UPDATE runs SET status = ?, finished_ms = ?, error_code = ?, error_detail = ? \
         WHERE id = ? AND status = 1 AND epoch = ?",
    );
    let query = query
        .bind(status as i64)
        .bind(now_ms)
        .bind(error.map(|error| error.code.clone()))
        .bind(error.map(|error| error.detail.clone()))
        .bind(fence.run)
        .bind(fence.epoch);
    Ok(tx.execute(query).await? == 1)
}

/// Makes a run that was just written one that is complete, without anybody having claimed it.
pub async fn complete(tx: &mut Tx<'_>, id: RunId, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new("UPDATE runs SET status = 2, started_ms = ?, finished_ms = ? WHERE id = ?");
    tx.execute(query.bind(now_ms).bind(now_ms).bind(id)).await?;
    Ok(())
}

/// Ends a run that waits as cancelled. False when it does not wait any more.
pub async fn withdraw(tx: &mut Tx<'_>, id: RunId, now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE runs SET status = ?, finished_ms = ? WHERE id = ? AND status = 0");
    Ok(tx.execute(query.bind(RunStatus::Cancelled as i64).bind(now_ms).bind(id)).await? == 1)
}

/// Notes that an active run shall end. False when it was asked for before, or the run is not active.
pub async fn ask_to_end(tx: &mut Tx<'_>, id: RunId, now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE runs SET cancel_ms = ? WHERE id = ? AND status = 1 AND cancel_ms IS NULL");
    Ok(tx.execute(query.bind(now_ms).bind(id)).await? == 1)
}

/// Puts an active run back to the front of its session. False when the lease was lost.
pub async fn requeue(tx: &mut Tx<'_>, fence: Fence) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE runs SET status = 0 WHERE id = ? AND status = 1 AND epoch = ?");
    Ok(tx.execute(query.bind(fence.run).bind(fence.epoch)).await? == 1)
}

/// Notes what the attempts at an active run consumed. Nothing changes when the lease was lost.
pub async fn set_usage(tx: &mut Tx<'_>, fence: Fence, usage: &Usage) -> Result<(), StoreError> {
    let query = Query::new("UPDATE runs SET usage = ? WHERE id = ? AND status = 1 AND epoch = ?");
    tx.execute(query.bind(json(usage)?).bind(fence.run).bind(fence.epoch)).await?;
    Ok(())
}

/// One committed run.
pub async fn get(store: &Store, id: RunId) -> Result<Option<Run>, StoreError> {
    let query = Query::new(format!("SELECT {COLUMNS} FROM runs WHERE id = ?"));
    store.read(query.bind(id)).await?.into_iter().next().map(read).transpose()
}

/// Where the outputs of a committed run go.
pub async fn reply_targets(store: &Store, id: RunId) -> Result<Vec<ReplyTarget>, StoreError> {
    let query = Query::new("SELECT reply_targets FROM runs WHERE id = ?").bind(id);
    let row = store.read(query).await?.into_iter().next();
    row.map_or_else(|| Ok(Vec::new()), |mut row| from_json(&row.take::<String>()?))
}

/// The sessions of committed runs.
pub async fn sessions_of(store: &Store, ids: &[RunId]) -> Result<HashMap<RunId, SessionId>, StoreError> {
    let mut found = HashMap::new();
    for chunk in portions(ids) {
        let query = Query::within("SELECT id, session_id FROM runs WHERE id IN", chunk.iter().copied(), "");
        for mut row in store.read(query).await? {
            found.insert(row.take()?, row.take()?);
        }
    }
    Ok(found)
}

/// What a list of runs is narrowed to, and where it goes on.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only this session's.
    pub session: Option<SessionId>,
    /// Only these.
    pub status: Option<RunStatus>,
    /// Only those beyond this one, in the order of the list.
    pub beyond: Option<RunId>,
    /// Newest first.
    pub descending: bool,
}

impl RunFilter {
    /// The conditions but for the place where the list goes on.
    fn conditions(&self) -> Conditions {
        Conditions::default()
            .and("session_id = ?", self.session.as_ref())
            .and("status = ?", self.status.map(|status| status as i64))
    }
}

/// Committed runs in the order of their ids, which is that of their submission.
pub async fn list(store: &Store, filter: &RunFilter, limit: i64) -> Result<Vec<Run>, StoreError> {
    let (beyond, order) = match filter.descending {
        false => ("id > ?", "ORDER BY id LIMIT ?"),
        true => ("id < ?", "ORDER BY id DESC LIMIT ?"),
    };
    let query = filter.conditions().and(beyond, filter.beyond).query(&format!("SELECT {COLUMNS} FROM runs"), order);
    store.read(query.bind(limit)).await?.into_iter().map(read).collect()
}

/// How many match, wherever the list goes on.
pub async fn count(store: &Store, filter: &RunFilter) -> Result<i64, StoreError> {
    only(store.read(filter.conditions().query("SELECT COUNT(*) FROM runs", "")).await?)?.take()
}

/// How many runs stand where; every status is in it.
pub async fn tally(store: &Store) -> Result<Vec<(RunStatus, i64)>, StoreError> {
    let counts = tally_codes(store, "SELECT status, COUNT(*) FROM runs GROUP BY status").await?;
    Ok(RunStatus::ALL.map(|status| (status, counts.get(&(status as i64)).copied().unwrap_or(0))).to_vec())
}

/// How many queued runs stand before this one.
pub async fn queued_before(store: &Store, run: &Run) -> Result<i64, StoreError> {
    let query = Query::new(
        "SELECT COUNT(*) FROM runs WHERE session_id = ? AND seq >= (SELECT front FROM sessions WHERE sessions.id = runs.session_id) \
         AND seq < ? AND status = 0",
    );
    only(store.read(query.bind(&run.session).bind(run.seq)).await?)?.take()
}

fn read(mut row: Row) -> Result<Run, StoreError> {
    Ok(Run {
        id: row.take()?,
        session: row.take()?,
        seq: row.take()?,
        status: RunStatus::from_code(row.take()?).ok_or(StoreError::Damaged("a run has no known status"))?,
        epoch: row.take()?,
        attempt: row.take()?,
        request: RunRequest {
            source_plugin: row.take()?,
            source_kind: row.take()?,
            actor: row.take()?,
            input: from_json(&row.take::<String>()?)?,
            metadata: from_json(&row.take::<String>()?)?,
            reply_targets: from_json(&row.take::<String>()?)?,
        },
        submitted_ms: row.take()?,
        started_ms: row.take()?,
        finished_ms: row.take()?,
        error: match (row.take::<Option<String>>()?, row.take::<Option<String>>()?) {
            (Some(code), detail) => Some(RunError { code, detail: detail.unwrap_or_default() }),
            (None, _) => None,
        },
        body_pruned: row.take::<i64>()? != 0,
        cancel_ms: row.take()?,
        usage: row.take::<Option<String>>()?.map(|text| from_json(&text)).transpose()?,
        executor: row.take()?,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("a run's content cannot be written as JSON"))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged("a run's content is not the JSON that was written"))
}
