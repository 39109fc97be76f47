//! The event log: statements. Rows are in the order of their commits, and only the writer adds and prunes them.

use super::{
    Store, StoreError,
    sql::{Dialect, Query, Row},
};
use crate::model::{
    happening::Happening,
    ids::{RunId, SessionId},
};

/// Adds events, the first of which gets the id `first` and each further one the next.
pub fn insert(dialect: Dialect, first: i64, happenings: &[Happening], at_ms: i64) -> Result<Query, StoreError> {
    let head = format!("{} events (id, at_ms, name, session_id, run_id, data) VALUES", dialect.insert_many());
    let mut query = Query::rows(&head, 6, happenings.len(), "");
    for (id, told) in (first..).zip(happenings) {
        let data =
            serde_json::to_string(&told.data).map_err(|_| StoreError::Damaged("an event cannot be written as JSON"))?;
        query = query
            .bind(id)
            .bind(at_ms)
            .bind(told.name)
            .bind(told.session.as_ref().map(|session| session.as_str().to_owned()))
            .bind(told.run.map_or(super::sql::Value::Blob(None), Into::into))
            .bind(data);
    }
    Ok(query)
}

/// The newest id and the number of rows.
pub fn measure() -> Query {
    Query::new("SELECT MAX(id), COUNT(*) FROM events")
}

/// Drops the `count` oldest events, at least one.
pub fn prune(count: i64) -> Query {
    Query::new("DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id LIMIT 1 OFFSET ?)").bind(count - 1)
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place; grows with each commit and over restarts.
    pub id: i64,
    /// When it was committed, in milliseconds since 1970.
    pub at_ms: i64,
    /// What sort of thing.
    pub name: String,
    /// The session that it belongs to.
    pub session: Option<String>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// The rest, a JSON object.
    pub data: String,
}

/// What a reader wants to see.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this session's.
    pub session: Option<SessionId>,
    /// Only this run's.
    pub run: Option<RunId>,
}

/// Some events, and how far back the log goes. Both are of one moment, so that whoever reads on knows whether something
/// was dropped in between.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The oldest id that is kept.
    pub oldest: Option<i64>,
    /// In order.
    pub events: Vec<StoredEvent>,
}

/// The first `limit` committed events behind `after`, up to `newest`.
pub async fn read(
    store: &Store,
    (after, newest): (i64, i64),
    filter: &EventFilter,
    limit: i64,
) -> Result<Excerpt, StoreError> {
    let mut text = "SELECT kept.oldest, e.id, e.at_ms, e.name, e.session_id, e.run_id, e.data \
                    FROM (SELECT MIN(id) AS oldest FROM events) AS kept \
                    LEFT JOIN events AS e ON e.id > ? AND e.id <= ?"
        .to_owned();
    if filter.session.is_some() {
        text.push_str(" AND e.session_id = ?");
    }
    if filter.run.is_some() {
        text.push_str(" AND e.run_id = ?");
    }
    text.push_str(" ORDER BY e.id LIMIT ?");
    let query = Query::new(text).bind(after).bind(newest).bind_all(filter.session.as_ref()).bind_all(filter.run);
    let mut excerpt = Excerpt { oldest: None, events: Vec::new() };
    for mut row in store.read(query.bind(limit)).await? {
        excerpt.oldest = row.take()?;
        if let Some(id) = row.take()? {
            excerpt.events.push(event(id, row)?);
        }
    }
    Ok(excerpt)
}

fn event(id: i64, mut row: Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        id,
        at_ms: row.take()?,
        name: row.take()?,
        session: row.take()?,
        run: row
            .take::<Option<Vec<u8>>>()?
            .map(|bytes| RunId::from_slice(&bytes).ok_or(StoreError::Damaged("a run id does not have 16 bytes")))
            .transpose()?,
        data: row.take()?,
    })
}
