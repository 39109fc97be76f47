//! Runs that events gather into: statements. A run that gathers is queued, and nobody takes it.

use super::{
    StoreError,
    sql::{Query, Row, portions},
    writer::Tx,
};
use crate::model::ids::{RunId, SessionId};

/// What tells a group of events from another one: the first 16 bytes of SHA-256 over its source and name.
pub type GroupKey = [u8; 16];

/// A run that events gather into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// The run.
    pub run: RunId,
    /// When nothing more is waited for, in milliseconds since 1970.
    pub due_ms: i64,
    /// The last moment to which that can be put off.
    pub last_ms: i64,
    /// Its events, as they came.
    pub members: Vec<Member>,
}

/// An event of a group: its position in it, and how many parts of the run's input are its own.
pub type Member = (u64, usize);

const COLUMNS: &str = "run_id, due_ms, last_ms, members";

fn read(mut row: Row) -> Result<Gathering, StoreError> {
    Ok(Gathering {
        run: row.take()?,
        due_ms: row.take()?,
        last_ms: row.take()?,
        members: members(&row.take::<String>()?)?,
    })
}

fn members(text: &str) -> Result<Vec<Member>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged("the events of a run cannot be read"))
}

fn text(members: &[Member]) -> Result<String, StoreError> {
    serde_json::to_string(members).map_err(|_| StoreError::Damaged("the events of a run cannot be written"))
}

/// The runs that events of these groups can still join, each with its session and how many events it has.
pub async fn open(tx: &mut Tx<'_>, keys: &[GroupKey]) -> Result<Vec<(GroupKey, SessionId, RunId, usize)>, StoreError> {
    let mut open = Vec::new();
    for chunk in portions(keys) {
        let head = "SELECT key, session_id, run_id, members FROM gatherings WHERE key IN";
        for mut row in tx.fetch(Query::within(head, chunk.iter().map(<[u8; 16]>::as_slice), "")).await? {
            let damaged = StoreError::Damaged("a group's key does not have 16 bytes");
            let key = row.take::<Vec<u8>>()?.try_into().map_err(|_| damaged)?;
            open.push((key, row.take()?, row.take()?, members(&row.take::<String>()?)?.len()));
        }
    }
    Ok(open)
}

/// Notes that a new run waits for further events, unless there is no key by which they could find it. Fails where another run
/// of the session has the key.
pub async fn insert(
    tx: &mut Tx<'_>,
    gathering: &Gathering,
    session: &SessionId,
    key: Option<GroupKey>,
) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO gatherings (run_id, key, session_id, due_ms, last_ms, members) VALUES (?, ?, ?, ?, ?, ?)",
    );
    let query = query.bind(gathering.run).bind(key.map(|key| key.to_vec())).bind(session);
    tx.execute(query.bind(gathering.due_ms).bind(gathering.last_ms).bind(text(&gathering.members)?)).await?;
    Ok(())
}

/// One that can still be joined. Its session is locked by the caller.
pub async fn find(tx: &mut Tx<'_>, run: RunId) -> Result<Option<Gathering>, StoreError> {
    let query = Query::new(format!("SELECT {COLUMNS} FROM gatherings WHERE run_id = ? AND key IS NOT NULL"));
    tx.fetch(query.bind(run)).await?.into_iter().next().map(read).transpose()
}

/// That of the run at the front of a session that the caller has just claimed, where it is one that gathers.
pub async fn of_front(tx: &mut Tx<'_>, session: &str) -> Result<Option<Gathering>, StoreError> {
    let query = Query::new(format!(
        "SELECT {COLUMNS} FROM gatherings WHERE run_id = \
         (SELECT id FROM runs WHERE session_id = ? AND seq = (SELECT front FROM sessions WHERE sessions.id = runs.session_id))"
    ));
    tx.fetch(query.bind(session)).await?.into_iter().next().map(read).transpose()
}

/// Writes what an event has changed. `full` says that no further one can join.
pub async fn update(tx: &mut Tx<'_>, gathering: &Gathering, full: bool) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE gatherings SET due_ms = ?, members = ?, key = CASE WHEN ? = 1 THEN NULL ELSE key END WHERE run_id = ?",
    );
    let query = query.bind(gathering.due_ms).bind(text(&gathering.members)?).bind(i64::from(full));
    tx.execute(query.bind(gathering.run)).await?;
    Ok(())
}

/// Ends the wait of a run for further events. Says whether it waited.
pub async fn end(tx: &mut Tx<'_>, run: RunId) -> Result<bool, StoreError> {
    Ok(tx.execute(Query::new("DELETE FROM gatherings WHERE run_id = ?").bind(run)).await? > 0)
}
