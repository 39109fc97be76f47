//! Deliveries: statements. One row for each part; a target that takes an output whole gets part 0.

pub mod operate;
pub mod read;
pub mod waiting;

use super::{
    StoreError,
    heads::Claimed,
    sql::{Query, Row, portions},
    writer::Tx,
};
use crate::model::{
    delivery::{Delivery, DeliveryStatus, LookUp, Receipt},
    ids::DeliveryId,
    run::Run,
    target::ReplyTarget,
};

/// A delivery to write.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    /// Its id.
    pub id: DeliveryId,
    /// The run whose output it carries, as it was claimed.
    pub run: &'a Run,
    /// Which output.
    pub ordinal: i64,
    /// Where it goes.
    pub target: &'a ReplyTarget,
    /// The lane of that address.
    pub lane: &'a str,
    /// Its place in the lane.
    pub seq: i64,
    /// Which part, from 0.
    pub part: i64,
    /// How many parts the delivery has.
    pub of: usize,
    /// The part's own text; none is the whole output's.
    pub text: Option<&'a str>,
    /// The file that the part is, as JSON.
    pub artifact: Option<&'a str>,
}

/// Writes pending deliveries.
pub async fn insert(tx: &mut Tx<'_>, deliveries: &[NewDelivery<'_>], now_ms: i64) -> Result<(), StoreError> {
    for chunk in portions(deliveries) {
        let head = "INSERT INTO deliveries (id, part, run_id, session_id, run_epoch, ordinal, plugin, address, lane_id, seq, \
                    status, epoch, attempt, next_ms, created_ms, parts, text, artifact) VALUES";
        let mut query = Query::rows(head, 18, chunk.len(), "");
        for delivery in chunk {
            query = query
                .bind(delivery.id)
                .bind(delivery.part)
                .bind(delivery.run.id)
                .bind(&delivery.run.session)
                .bind(delivery.run.epoch)
                .bind(delivery.ordinal)
                .bind(delivery.target.plugin.as_str())
                .bind(delivery.target.address.as_str())
                .bind(delivery.lane)
                .bind(delivery.seq)
                .bind(DeliveryStatus::Pending as i64)
                .bind(0)
                .bind(0)
                .bind(now_ms)
                .bind(now_ms)
                .bind(i64::try_from(delivery.of).unwrap_or(i64::MAX))
                .bind(delivery.text.map(str::to_owned))
                .bind(delivery.artifact.map(str::to_owned));
        }
        tx.execute(query).await?;
    }
    Ok(())
}

/// Takes the oldest pending part of a lane that the caller has just claimed, and records that a byte may leave. None while
/// the lane has parts that wait to be looked up.
pub async fn take_oldest(tx: &mut Tx<'_>, lane: &Claimed, now_ms: i64) -> Result<Option<Delivery>, StoreError> {
    let query = Query::new(format!(
        "UPDATE deliveries SET status = 1, epoch = ?, attempt = attempt + 1, sending_ms = ?, next_ms = NULL \
         WHERE lane_id = ? AND status = 0 AND \
         seq = (SELECT seq FROM deliveries WHERE lane_id = ? AND status = 0 ORDER BY seq LIMIT 1) AND \
         NOT EXISTS (SELECT 1 FROM deliveries WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL) {RETURNING}"
    ));
    let query = query.bind(lane.epoch).bind(now_ms).bind_all([lane.id.as_str(); 3]);
    whole(tx, query, lane).await
}

/// Takes the oldest part that waits to be looked up in a lane that the caller has just claimed.
pub async fn take_sought(tx: &mut Tx<'_>, lane: &Claimed, now_ms: i64) -> Result<Option<Delivery>, StoreError> {
    let query = Query::new(format!(
        "UPDATE deliveries SET epoch = ?, look_ups = look_ups + 1, next_ms = ? \
         WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL AND seq = \
         (SELECT seq FROM deliveries WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL ORDER BY seq LIMIT 1) \
         {RETURNING}"
    ));
    let query = query.bind(lane.epoch).bind(now_ms).bind_all([lane.id.as_str(); 2]);
    whole(tx, query, lane).await
}

/// Where the oldest pending part of a lane goes. None while the lane has parts that wait to be looked up.
pub async fn next_target(tx: &mut Tx<'_>, lane: &str) -> Result<Option<ReplyTarget>, StoreError> {
    let query = Query::new(
        "SELECT plugin, address FROM deliveries WHERE lane_id = ? AND status = 0 AND NOT EXISTS \
         (SELECT 1 FROM deliveries WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL) ORDER BY seq LIMIT 1",
    );
    let row = tx.fetch(query.bind(lane).bind(lane)).await?.into_iter().next();
    row.map(|mut row| Ok(ReplyTarget { plugin: row.take()?, address: row.take()? })).transpose()
}

async fn whole(tx: &mut Tx<'_>, query: Query, lane: &Claimed) -> Result<Option<Delivery>, StoreError> {
    let Some(row) = tx.fetch(query).await?.into_iter().next() else { return Ok(None) };
    let mut delivery = read_whole(row, lane)?;
    if delivery.part > 0 {
        delivery.sent = receipts(tx, &delivery).await?;
    }
    Ok(Some(delivery))
}

/// A part as its sender needs it.
const RETURNING: &str = "RETURNING id, part, parts, run_id, session_id, plugin, address, attempt, created_ms, sending_ms, look_ups, next_ms, \
     text, artifact, origin, \
     (SELECT content FROM outputs WHERE outputs.run_id = deliveries.run_id AND outputs.epoch = deliveries.run_epoch AND \
     outputs.ordinal = deliveries.ordinal), \
     (SELECT artifacts FROM outputs WHERE outputs.run_id = deliveries.run_id AND outputs.epoch = deliveries.run_epoch AND \
     outputs.ordinal = deliveries.ordinal), \
     (SELECT failures FROM lanes WHERE lanes.id = deliveries.lane_id)";

fn read_whole(mut row: Row, lane: &Claimed) -> Result<Delivery, StoreError> {
    let (id, part, parts) = (row.take()?, row.take()?, row.take()?);
    let (run, session) = (row.take()?, row.take()?);
    let target = ReplyTarget { plugin: row.take()?, address: row.take()? };
    let (attempt, created_ms, started_ms) = (row.take()?, row.take()?, row.take::<Option<i64>>()?);
    let (count, looked_ms): (i64, Option<i64>) = (row.take()?, row.take()?);
    let attempt_started_ms = started_ms.unwrap_or(created_ms);
    let look_up = (count > 0).then_some(LookUp { count, attempt_started_ms });
    let (text, artifact): (Option<String>, Option<String>) = (row.take()?, row.take()?);
    let origin: Option<Vec<u8>> = row.take()?;
    let (content, artifacts): (String, String) = (row.take()?, row.take()?);
    let artifacts = match (&text, artifact) {
        (_, Some(artifact)) => format!("[{artifact}]"),
        (Some(_), None) => "[]".to_owned(),
        (None, None) => artifacts,
    };
    let origin = match origin {
        Some(bytes) => {
            DeliveryId::from_slice(&bytes).ok_or(StoreError::Damaged("a delivery id does not have 16 bytes"))?
        }
        None => id,
    };
    Ok(Delivery {
        id,
        part,
        parts,
        run,
        session,
        target,
        content: text.unwrap_or(content),
        artifacts,
        origin,
        sent: Vec::new(),
        lane_failures: row.take()?,
        probe: None,
        created_ms,
        started_ms: looked_ms.filter(|_| look_up.is_some()).unwrap_or(attempt_started_ms),
        attempt,
        epoch: lane.epoch,
        look_up,
    })
}

async fn receipts(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<Vec<Receipt>, StoreError> {
    let query = Query::new(
        "SELECT platform_ref, detail FROM deliveries WHERE id = ? AND part < ? AND status = 2 ORDER BY part",
    );
    let rows = tx.fetch(query.bind(delivery.id).bind(delivery.part)).await?;
    rows.into_iter().map(|mut row| Ok(Receipt { platform_id: row.take()?, detail: row.take()? })).collect()
}

/// How an attempt ended, for the row.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Where the part stands now.
    pub status: DeliveryStatus,
    /// Taken off the attempts, or the look-ups: 1 when the target asked to wait, else 0.
    pub uncounted: i64,
    /// Whether it is looked up next, rather than sent.
    pub sought: bool,
    /// When to try again.
    pub next_ms: Option<i64>,
    /// Why, stable and for people.
    pub error: Option<(String, String)>,
    /// What the platform said of it.
    pub receipt: Option<Receipt>,
    /// Until when the target asked to be left in peace, where this part does not wait for that: whatever is next in the lane
    /// does.
    pub peace_ms: Option<i64>,
}

impl Settlement {
    /// An end like this, for this reason, and nothing beside it.
    pub fn of(status: DeliveryStatus, error: Option<(String, String)>) -> Self {
        Self { status, uncounted: 0, sought: false, next_ms: None, error, receipt: None, peace_ms: None }
    }

    /// It is not known whether it arrived, and that is looked up then.
    pub fn sought(next_ms: i64, error: (String, String)) -> Self {
        Self { sought: true, next_ms: Some(next_ms), ..Self::of(DeliveryStatus::Unknown, Some(error)) }
    }
}

/// Settles a part that is being sent or looked up. False when the lease was lost, or an operator has decided meanwhile.
pub async fn settle(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    settlement: &Settlement,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET status = ?, attempt = attempt - ?, look_ups = ?, epoch = ?, next_ms = ?, error_code = ?, \
         error_detail = ?, platform_ref = ?, detail = ?, ended_ms = ? \
         WHERE id = ? AND part = ? AND status = ? AND epoch = ?",
    );
    let (was, uncounted, look_ups) = match delivery.look_up {
        None => (DeliveryStatus::Sending, settlement.uncounted, 0),
        Some(LookUp { count, .. }) => (DeliveryStatus::Unknown, 0, count - settlement.uncounted),
    };
    // What stays unknown while it waits is fenced by no status: it forgets the lease.
    let (look_ups, epoch) = if settlement.sought { (look_ups, 0) } else { (0, delivery.epoch) };
    let ended = (settlement.status != DeliveryStatus::Pending).then_some(now_ms);
    let receipt = settlement.receipt.as_ref();
    let query = query
        .bind(settlement.status as i64)
        .bind(uncounted)
        .bind(look_ups)
        .bind(epoch)
        .bind(settlement.next_ms)
        .bind(settlement.error.as_ref().map(|(code, _)| code.clone()))
        .bind(settlement.error.as_ref().map(|(_, detail)| detail.clone()))
        .bind(receipt.and_then(|receipt| receipt.platform_id.clone()))
        .bind(receipt.and_then(|receipt| receipt.detail.clone()))
        .bind(ended)
        .bind(delivery.id)
        .bind(delivery.part)
        .bind(was as i64)
        .bind(delivery.epoch);
    Ok(tx.execute(query).await? == 1)
}

/// Withdraws the parts behind one that is given up. Which they were, with their attempts, in order.
pub async fn cancel_rest(tx: &mut Tx<'_>, delivery: &Delivery, now_ms: i64) -> Result<Vec<(i64, i64)>, StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET status = 5, next_ms = NULL, ended_ms = ? WHERE id = ? AND part > ? AND status = 0 \
         RETURNING part, attempt",
    );
    let rows = tx.fetch(query.bind(now_ms).bind(delivery.id).bind(delivery.part)).await?;
    let mut cancelled: Vec<(i64, i64)> =
        rows.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect::<Result<_, StoreError>>()?;
    cancelled.sort_unstable();
    Ok(cancelled)
}

/// The part that a dead process was sending in this lane.
pub async fn sending(tx: &mut Tx<'_>, lane: &Claimed) -> Result<Option<Delivery>, StoreError> {
    let query = Query::new(format!(
        "UPDATE deliveries SET next_ms = NULL WHERE lane_id = ? AND status = 1 AND epoch = ? {RETURNING}"
    ));
    let rows = tx.fetch(query.bind(lane.id.as_str()).bind(lane.epoch)).await?;
    rows.into_iter().next().map(|row| read_whole(row, lane)).transpose()
}

/// The part that a dead process was looking up in this lane.
pub async fn looking(tx: &mut Tx<'_>, lane: &Claimed) -> Result<Option<Delivery>, StoreError> {
    let query = Query::new(format!(
        "UPDATE deliveries SET next_ms = next_ms WHERE lane_id = ? AND status = 3 AND next_ms IS NOT NULL AND epoch = ? \
         {RETURNING}"
    ));
    let rows = tx.fetch(query.bind(lane.id.as_str()).bind(lane.epoch)).await?;
    rows.into_iter().next().map(|row| read_whole(row, lane)).transpose()
}

/// Keeps an attempt that did not succeed, or a look-up, for people.
pub async fn record_attempt(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    outcome: &str,
    (code, detail): (&str, &str),
    now_ms: i64,
) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO delivery_attempts (delivery_id, part, attempt, started_ms, ended_ms, outcome, code, detail) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    );
    let query = query.bind(delivery.id).bind(delivery.part).bind(delivery.attempt).bind(delivery.started_ms);
    tx.execute(query.bind(now_ms).bind(outcome).bind(code).bind(detail)).await?;
    Ok(())
}
