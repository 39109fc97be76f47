//! Parts that wait because the other side of their connector is not there: statements.

use super::super::{StoreError, sql::Query, writer::Tx};
use crate::model::{
    delivery::DeliveryStatus,
    happening::DeliveryNow,
    ids::{DeliveryId, RunId, SessionId},
};

/// The next part of a lane, as far as it is known without its content.
#[derive(Clone, Debug)]
pub struct Head {
    /// The delivery.
    pub id: DeliveryId,
    /// Which part of it, from 0.
    pub part: i64,
    /// How many parts it has.
    pub parts: i64,
    run: RunId,
    session: SessionId,
    plugin: String,
    attempts: i64,
    /// When its run ended, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was to be sent, in milliseconds since 1970.
    pub due_ms: i64,
    /// What it waited for last.
    pub code: Option<String>,
}

impl Head {
    /// What streams are told of it.
    pub fn now(&self) -> DeliveryNow<'_> {
        let Self { id, run, session, plugin, attempts, .. } = self;
        let status = DeliveryStatus::Pending;
        DeliveryNow { id: *id, run: *run, session, plugin, status, attempts: *attempts }
    }
}

/// The oldest pending part of a lane that the caller has locked. None while the lane has parts that wait to be looked up.
pub async fn head(tx: &mut Tx<'_>, lane: &str) -> Result<Option<Head>, StoreError> {
    let query = Query::new(
        "SELECT id, part, parts, run_id, session_id, plugin, attempt, created_ms, next_ms, error_code FROM deliveries \
         WHERE lane_id = ? AND status = 0 AND NOT EXISTS \
         (SELECT 1 FROM deliveries WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL) ORDER BY seq LIMIT 1",
    );
    let row = tx.fetch(query.bind(lane).bind(lane)).await?.into_iter().next();
    row.map(|mut row| {
        let (id, part, parts) = (row.take()?, row.take()?, row.take()?);
        let (run, session, plugin, attempts) = (row.take()?, row.take()?, row.take()?, row.take()?);
        let (created_ms, next_ms) = (row.take()?, row.take::<Option<i64>>()?);
        let (due_ms, code) = (next_ms.unwrap_or(created_ms), row.take()?);
        Ok(Head { id, part, parts, run, session, plugin, attempts, created_ms, due_ms, code })
    })
    .transpose()
}

/// Has a part wait until then, for this reason.
pub async fn wait(tx: &mut Tx<'_>, head: &Head, until_ms: i64, (code, reason): (&str, &str)) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET next_ms = ?, error_code = ?, error_detail = ? WHERE id = ? AND part = ? AND status = 0",
    );
    let query = query.bind(until_ms).bind(code).bind(reason).bind(head.id).bind(head.part);
    tx.execute(query).await.map(drop)
}

/// Ends the wait of every lane of this owner whose next part waits for one of these reasons.
pub async fn end(tx: &mut Tx<'_>, owner: &str, codes: &[&str], now_ms: i64) -> Result<u64, StoreError> {
    let marks = vec!["?"; codes.len()].join(",");
    let lanes = Query::new(format!(
        "UPDATE lanes SET ready_at = ? WHERE owner = ? AND state = 1 AND held IS NULL AND ready_at > ? AND EXISTS \
         (SELECT 1 FROM deliveries WHERE lane_id = lanes.id AND status = 0 AND error_code IN ({marks}))"
    ));
    let lanes = lanes.bind(now_ms).bind(owner).bind(now_ms).bind_all(codes.iter().copied());
    let ended = tx.execute(lanes).await?;
    if ended > 0 {
        let parts = Query::new(format!(
            "UPDATE deliveries SET next_ms = ? WHERE status = 0 AND next_ms > ? AND error_code IN ({marks}) AND lane_id IN \
             (SELECT id FROM lanes WHERE owner = ? AND state = 1 AND held IS NULL)"
        ));
        let parts = parts.bind(now_ms).bind(now_ms).bind_all(codes.iter().copied()).bind(owner);
        tx.execute(parts).await?;
    }
    Ok(ended)
}
