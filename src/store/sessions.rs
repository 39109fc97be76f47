//! Sessions, as their readers see them. Claims and fences are in [`super::heads`].

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Store, StoreError, only,
    sql::{Query, Row, portions},
    writer::Tx,
};
use crate::model::ids::SessionId;

/// A session as stored.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whether it has work.
    pub state: SessionState,
    /// Runs that wait.
    pub queued: i64,
    /// The place of its newest run.
    pub last_seq: i64,
    /// When it was made.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// Who performs its runs; empty for the default.
    pub executor: String,
}

/// Whether a session has work.
// The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// No run waits or is active.
    Idle,
    /// A run waits for a worker.
    Ready,
    /// A run is active.
    Busy,
}

const COLUMNS: &str = "SELECT id, state, queued, last_seq, created_ms, updated_ms, executor FROM sessions";

fn read(mut row: Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.take()?,
        state: match row.take::<i64>()? {
            0 => SessionState::Idle,
            1 => SessionState::Ready,
            2 => SessionState::Busy,
            _ => return Err(StoreError::Damaged("a session is in no known state")),
        },
        queued: row.take()?,
        last_seq: row.take()?,
        created_ms: row.take()?,
        updated_ms: row.take()?,
        executor: row.take()?,
    })
}

/// One session.
pub async fn get(store: &Store, id: &SessionId) -> Result<Option<Session>, StoreError> {
    let rows = store.read(Query::new(format!("{COLUMNS} WHERE id = ?")).bind(id)).await?;
    rows.into_iter().next().map(read).transpose()
}

/// Sessions after `after` in the order of their ids.
pub async fn list(store: &Store, after: Option<&str>, limit: i64) -> Result<Vec<Session>, StoreError> {
    let query = Query::new(format!("{COLUMNS} WHERE id > ? ORDER BY id LIMIT ?"));
    store.read(query.bind(after.unwrap_or_default()).bind(limit)).await?.into_iter().map(read).collect()
}

/// How many there are.
pub async fn count(store: &Store) -> Result<i64, StoreError> {
    only(store.read(Query::new("SELECT COUNT(*) FROM sessions")).await?)?.take()
}

/// Which of `ids` exist, in the writer's view.
pub async fn existing(tx: &mut Tx<'_>, ids: &[&SessionId]) -> Result<HashSet<SessionId>, StoreError> {
    let mut found = HashSet::new();
    for chunk in portions(ids) {
        for mut row in tx.fetch(Query::within("SELECT id FROM sessions WHERE id IN", chunk.iter().copied(), "")).await?
        {
            found.insert(row.take()?);
        }
    }
    Ok(found)
}

/// Makes an idle session of an executor, the default one when empty; an existing session is left as it is.
pub async fn insert_idle(tx: &mut Tx<'_>, id: &SessionId, executor: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO sessions (id, state, ready_at, epoch, queued, last_seq, created_ms, updated_ms, executor) \
         VALUES (?, 0, ?, 0, 0, 0, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    );
    tx.execute(query.bind(id).bind(now_ms).bind(now_ms).bind(now_ms).bind(executor)).await.map(drop)
}

/// How many sessions have a run that waits, by executor as the sessions name it.
pub async fn waiting(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    let query =
        Query::new("SELECT executor, COUNT(*) FROM sessions WHERE state = 1 GROUP BY executor ORDER BY executor");
    store.read(query).await?.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

const NAMED: &str = "WITH RECURSIVE named (name) AS (\
     SELECT MIN(executor) FROM sessions WHERE executor <> '' UNION ALL \
     SELECT (SELECT MIN(executor) FROM sessions WHERE executor <> '' AND executor > named.name) \
     FROM named WHERE named.name IS NOT NULL) \
     SELECT name FROM named WHERE name IS NOT NULL";

/// The executors that sessions name, whether or not any run of theirs waits.
pub async fn named_executors(store: &Store) -> Result<Vec<String>, StoreError> {
    store.read(Query::new(NAMED)).await?.into_iter().map(|mut row| row.take()).collect()
}

/// The place of a run that does not wait: the next one of the session. None when there is no such session.
pub async fn next_seq(tx: &mut Tx<'_>, id: &SessionId, now_ms: i64) -> Result<Option<i64>, StoreError> {
    let query =
        Query::new("UPDATE sessions SET last_seq = last_seq + 1, updated_ms = ? WHERE id = ? RETURNING last_seq");
    tx.fetch(query.bind(now_ms).bind(id)).await?.into_iter().next().map(|mut row| row.take()).transpose()
}
