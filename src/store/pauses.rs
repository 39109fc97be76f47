//! Pauses of connectors: statements. There are as many rows as connectors that are locked out, mostly none.

use std::collections::BTreeMap;

use super::{Store, StoreError, sql::Query, writer::Tx};
use crate::model::pause::Pause;

/// The connectors that are paused, by `kind/name`.
pub async fn all(store: &Store) -> Result<BTreeMap<String, Pause>, StoreError> {
    let query = Query::new("SELECT connector, since_ms, code, detail, probe_ms FROM delivery_pauses");
    let rows = store.read(query).await?;
    rows.into_iter()
        .map(|mut row| {
            let connector = row.take()?;
            let (since_ms, code, reason, next_probe_ms) = (row.take()?, row.take()?, row.take()?, row.take()?);
            Ok((connector, Pause { since_ms, code, reason, next_probe_ms }))
        })
        .collect()
}

/// A pause, as far as a claim needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `kind/name` of the connector.
    pub connector: String,
    /// When a probe is due, in milliseconds since 1970.
    pub probe_ms: i64,
    /// Probes of this pause that failed.
    pub failed: i64,
    /// Why it stands, for programs.
    pub code: String,
    /// Why it stands, for people.
    pub reason: String,
}

/// The pauses that stand, in the order of connectors.
pub async fn standing(tx: &mut Tx<'_>) -> Result<Vec<Standing>, StoreError> {
    let query = Query::new("SELECT connector, probe_ms, failed, code, detail FROM delivery_pauses ORDER BY connector");
    let rows = tx.fetch(query).await?;
    rows.into_iter()
        .map(|mut row| {
            let (connector, probe_ms, failed) = (row.take()?, row.take()?, row.take()?);
            Ok(Standing { connector, probe_ms, failed, code: row.take()?, reason: row.take()? })
        })
        .collect()
}

/// Begins a pause. False when there is one already, which stays as it is.
pub async fn begin(tx: &mut Tx<'_>, connector: &str, pause: &Pause) -> Result<bool, StoreError> {
    let query = Query::new(
        "INSERT INTO delivery_pauses (connector, code, detail, since_ms, probe_ms, failed) VALUES (?, ?, ?, ?, ?, 0) \
         ON CONFLICT (connector) DO NOTHING",
    );
    let query = query.bind(connector).bind(pause.code.as_str()).bind(pause.reason.as_str());
    Ok(tx.execute(query.bind(pause.since_ms).bind(pause.next_probe_ms)).await? == 1)
}

/// Keeps the one place for a probe until `until_ms`, for whoever saw when it was due. False when another one has it.
pub async fn hold_probe(tx: &mut Tx<'_>, seen: &Standing, until_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE delivery_pauses SET probe_ms = ? WHERE connector = ? AND probe_ms = ?");
    Ok(tx.execute(query.bind(until_ms).bind(seen.connector.as_str()).bind(seen.probe_ms)).await? == 1)
}

/// Lets go of the place for a probe that nobody makes any more, for a lane that is still leased. The place is held until the
/// end of the probe's own lease, so a lane that was leased before the pause began moves nothing.
pub async fn release_probe(tx: &mut Tx<'_>, lane: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE delivery_pauses SET probe_ms = ? WHERE connector = (SELECT owner FROM lanes WHERE id = ?) \
         AND probe_ms = (SELECT lease_until FROM lanes WHERE id = ?)",
    );
    tx.execute(query.bind(now_ms).bind(lane).bind(lane)).await.map(drop)
}

/// The same for files that former processes of the family were fetching, whose leases are as they left them.
pub async fn release_fetching(tx: &mut Tx<'_>, family: &str, me: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE delivery_pauses SET probe_ms = ? WHERE EXISTS (SELECT 1 FROM downloads \
         WHERE downloads.connector = delivery_pauses.connector AND downloads.next_ms = delivery_pauses.probe_ms \
         AND downloads.owner LIKE ? AND downloads.owner <> ?)",
    );
    tx.execute(query.bind(now_ms).bind(format!("{family}%")).bind(me)).await.map(drop)
}

/// A probe was told the same again: the next one is due then.
pub async fn probe_failed(
    tx: &mut Tx<'_>,
    connector: &str,
    (code, reason): (&str, &str),
    probe_ms: i64,
) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE delivery_pauses SET code = ?, detail = ?, probe_ms = ?, failed = failed + 1 WHERE connector = ?",
    );
    tx.execute(query.bind(code).bind(reason).bind(probe_ms).bind(connector)).await.map(drop)
}

/// A probe ended without saying anything about the lock: the next one is due then.
pub async fn put_off(tx: &mut Tx<'_>, connector: &str, probe_ms: i64) -> Result<(), StoreError> {
    let query = Query::new("UPDATE delivery_pauses SET probe_ms = ? WHERE connector = ?");
    tx.execute(query.bind(probe_ms).bind(connector)).await.map(drop)
}

/// Ends a pause. False when there was none.
pub async fn end(tx: &mut Tx<'_>, connector: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(Query::new("DELETE FROM delivery_pauses WHERE connector = ?").bind(connector)).await? == 1)
}
