//! Lanes, as operators and rates move them: statements. What dispatchers do with them is in [`super::heads`].

use super::{Store, StoreError, heads::Claimed, sql::Query, writer::Tx};
use crate::model::ids::DeliveryId;

/// Adds to how many parts wait in a lane, which is none too few below 0, and sets when the next of them is due: the oldest, but
/// those that are to be looked up come first. A lane that is leased is given back by its holder.
pub async fn recount(tx: &mut Tx<'_>, lane: &str, added: i64, now_ms: i64) -> Result<(), StoreError> {
    let next = Query::new(
        "SELECT COALESCE(\
         (SELECT next_ms FROM deliveries WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL ORDER BY seq LIMIT 1), \
         (SELECT next_ms FROM deliveries WHERE lane_id = ? AND status = 0 ORDER BY seq LIMIT 1))",
    );
    let due = match tx.fetch(next.bind(lane).bind(lane)).await?.into_iter().next() {
        Some(mut row) => row.take::<Option<i64>>()?.unwrap_or(now_ms),
        None => now_ms,
    };
    let query = Query::new(
        "UPDATE lanes SET queued = queued + ?, updated_ms = ?, \
         ready_at = CASE WHEN state = 2 THEN ready_at WHEN open_until > ? THEN open_until ELSE ? END, \
         state = CASE WHEN state = 2 THEN 2 WHEN queued + ? > 0 THEN 1 ELSE 0 END WHERE id = ?",
    );
    let query = query.bind(added).bind(now_ms).bind(due).bind(due).bind(added).bind(lane);
    tx.execute(query).await?;
    Ok(())
}

/// Gives a leased lane back after its part ended: what waits in it is due at the first moment, and what comes to an idle one at
/// the second. Says whether something waits.
pub async fn release(
    tx: &mut Tx<'_>,
    lane: &Claimed,
    (paced_ms, ready_ms): (i64, i64),
    now_ms: i64,
) -> Result<bool, StoreError> {
    let query = Query::new(
        "UPDATE lanes SET state = CASE WHEN queued > 0 THEN 1 ELSE 0 END, \
         ready_at = CASE WHEN queued > 0 THEN CAST(? AS BIGINT) ELSE ? END, updated_ms = ?, \
         lease_owner = NULL, lease_until = NULL WHERE id = ? AND epoch = ? AND state = 2 RETURNING queued",
    );
    let query = query.bind(paced_ms).bind(ready_ms).bind(now_ms);
    let rows = tx.fetch(query.bind(lane.id.as_str()).bind(lane.epoch)).await?;
    let queued = rows.into_iter().next().map(|mut row| row.take::<i64>()).transpose()?;
    Ok(queued.is_some_and(|queued| queued > 0))
}

/// Whether this delivery's unknown part holds the lane.
pub async fn is_held_by(tx: &mut Tx<'_>, lane: &str, delivery: DeliveryId) -> Result<bool, StoreError> {
    let query = Query::new("SELECT id FROM lanes WHERE id = ? AND held = ?");
    Ok(!tx.fetch(query.bind(lane).bind(delivery)).await?.is_empty())
}

/// Lets go of a lane that this delivery holds.
pub async fn let_go(tx: &mut Tx<'_>, lane: &str, delivery: DeliveryId) -> Result<(), StoreError> {
    let query = Query::new("UPDATE lanes SET held = NULL WHERE id = ? AND held = ?");
    tx.execute(query.bind(lane).bind(delivery)).await?;
    Ok(())
}

/// The lanes whose breaker is open, by `lanes_troubled`, each with its owner.
pub async fn open(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>, StoreError> {
    let query = Query::new(
        "SELECT id, owner FROM lanes WHERE (open_until IS NOT NULL OR held IS NOT NULL) AND open_until IS NOT NULL \
         ORDER BY id",
    );
    tx.fetch(query).await?.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

/// Whether nothing goes out in this lane now, although something may wait: its breaker is open, it is held, or its connector
/// `kind/name` is paused.
pub async fn is_shut(store: &Store, lane: &str, connector: &str, now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new(
        "SELECT 1 FROM lanes WHERE id = ? AND (open_until > ? OR held IS NOT NULL) \
         UNION ALL SELECT 1 FROM delivery_pauses WHERE connector = ?",
    );
    Ok(!store.read(query.bind(lane).bind(now_ms).bind(connector)).await?.is_empty())
}

/// Closes a lane's breaker: what waits in it is due now.
pub async fn close(tx: &mut Tx<'_>, lane: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE lanes SET open_until = NULL, failures = 0, ready_at = CASE WHEN state = 2 THEN ready_at ELSE ? END \
         WHERE id = ?",
    );
    tx.execute(query.bind(now_ms).bind(lane)).await?;
    Ok(())
}
