//! Where outputs of a session go when nothing else says: statements.

use std::collections::HashMap;

use super::{
    Store, StoreError,
    sql::{Query, Row, portions},
    writer::Tx,
};
use crate::model::{ids::SessionId, target::ReplyTarget};

/// The default targets of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTargets {
    /// In their order, each once.
    pub targets: Vec<ReplyTarget>,
    /// What was taken out of the list, and why; until the list is set again.
    pub notice: Option<String>,
}

fn read(row: &mut Row) -> Result<SessionTargets, StoreError> {
    let targets: String = row.take()?;
    let targets = serde_json::from_str(&targets)
        .map_err(|_| StoreError::Damaged("reply targets of a session are not of their form"))?;
    Ok(SessionTargets { targets, notice: row.take()? })
}

/// The targets of one session.
pub async fn get(store: &Store, session: &SessionId) -> Result<SessionTargets, StoreError> {
    let query = Query::new("SELECT targets, notice FROM session_targets WHERE session_id = ?").bind(session);
    let first = store.read(query).await?.into_iter().next();
    first.map(|mut row| read(&mut row)).transpose().map(Option::unwrap_or_default)
}

const OF_SESSIONS: &str = "SELECT session_id, targets, notice FROM session_targets WHERE session_id IN";

/// The targets of these sessions; those without any are absent.
pub async fn of(store: &Store, sessions: &[&SessionId]) -> Result<HashMap<SessionId, Vec<ReplyTarget>>, StoreError> {
    let mut found = HashMap::new();
    for chunk in portions(sessions) {
        for mut row in store.read(Query::within(OF_SESSIONS, chunk.iter().copied(), "")).await? {
            found.insert(row.take()?, read(&mut row)?.targets);
        }
    }
    Ok(found)
}

/// The same in the writer's view.
pub async fn find(
    tx: &mut Tx<'_>,
    sessions: &[&SessionId],
) -> Result<HashMap<SessionId, Vec<ReplyTarget>>, StoreError> {
    let mut found = HashMap::new();
    for chunk in portions(sessions) {
        for mut row in tx.fetch(Query::within(OF_SESSIONS, chunk.iter().copied(), "")).await? {
            found.insert(row.take()?, read(&mut row)?.targets);
        }
    }
    Ok(found)
}

/// All sessions whose targets hold this text.
pub async fn holding(store: &Store, text: &str) -> Result<Vec<(SessionId, SessionTargets)>, StoreError> {
    let query = Query::new("SELECT session_id, targets, notice FROM session_targets WHERE targets LIKE ?");
    let rows = store.read(query.bind(format!("%{text}%"))).await?;
    rows.into_iter().map(|mut row| Ok((row.take()?, read(&mut row)?))).collect()
}

/// All sessions whose targets hold this text, in the writer's view.
pub async fn mentioning(tx: &mut Tx<'_>, text: &str) -> Result<Vec<(SessionId, SessionTargets)>, StoreError> {
    let query = Query::new("SELECT session_id, targets, notice FROM session_targets WHERE targets LIKE ?");
    let rows = tx.fetch(query.bind(format!("%{text}%"))).await?;
    rows.into_iter().map(|mut row| Ok((row.take()?, read(&mut row)?))).collect()
}

/// Sets the list of a session; an empty one without a notice is forgotten.
pub async fn set(tx: &mut Tx<'_>, session: &SessionId, set: &SessionTargets, now_ms: i64) -> Result<(), StoreError> {
    if *set == SessionTargets::default() {
        let query = Query::new("DELETE FROM session_targets WHERE session_id = ?").bind(session);
        return tx.execute(query).await.map(drop);
    }
    let query = Query::new(
        "INSERT INTO session_targets (session_id, targets, notice, updated_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (session_id) DO UPDATE SET targets = excluded.targets, notice = excluded.notice, \
         updated_ms = excluded.updated_ms",
    );
    let targets = serde_json::to_string(&set.targets).unwrap_or_default();
    tx.execute(query.bind(session).bind(targets).bind(set.notice.clone()).bind(now_ms)).await.map(drop)
}
