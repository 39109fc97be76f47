//! Deliveries, as operators change them: statements on all parts of one.

use crate::{
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        happening::DeliveryNow,
        ids::{DeliveryId, RunId, SessionId},
    },
    store::{
        StoreError,
        sql::{Query, Row, portions},
        writer::Tx,
    },
};

/// One part, whole.
#[derive(Clone, Debug)]
pub struct Part {
    /// The delivery.
    pub id: DeliveryId,
    /// Its place, from 0.
    pub part: i64,
    /// How many parts there are.
    pub parts: i64,
    /// The run whose output it carries.
    pub run: RunId,
    /// Under which epoch the run said it.
    pub run_epoch: i64,
    /// Which of the run's outputs.
    pub ordinal: i64,
    /// The run's session.
    pub session: SessionId,
    /// The plugin that delivers.
    pub plugin: String,
    /// The address, in that plugin's form.
    pub address: String,
    /// The lane of that address.
    pub lane: String,
    /// Its place in the lane.
    pub seq: i64,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// What the platform calls it.
    pub platform_ref: Option<String>,
    /// What else the platform said.
    pub detail: Option<String>,
    /// Its own text.
    pub text: Option<String>,
    /// The file that it is.
    pub artifact: Option<String>,
    /// The delivery that the idempotency key names, where it is another one.
    pub origin: Option<DeliveryId>,
    /// The delivery that this one repeats.
    pub replayed_from: Option<DeliveryId>,
    /// Whether its platform is asked about it.
    pub sought: Sought,
    /// Whether it was tried, be it for nothing that counts.
    pub tried: bool,
}

/// Whether a platform is asked about an unknown part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// It is not.
    No,
    /// That waits for its turn in the lane.
    Waits,
    /// That is under way: the lane is leased for it.
    Now,
}

impl Part {
    /// What streams are told of it.
    pub fn now(&self, status: DeliveryStatus) -> DeliveryNow<'_> {
        let Self { id, run, session, plugin, attempts, .. } = self;
        DeliveryNow { id: *id, run: *run, session, plugin, status, attempts: *attempts }
    }
}

/// Where a delivery stands, by its parts.
pub fn state(parts: &[Part]) -> DeliveryState {
    DeliveryState::of(parts.iter().map(|part| (part.status, part.tried)))
}

const COLUMNS: &str = "id, part, parts, run_id, run_epoch, ordinal, session_id, plugin, address, lane_id, seq, status, \
                       attempt, ended_ms, platform_ref, detail, text, artifact, origin, replayed_from";

/// Whether a part's platform is asked about it, as a number.
const SOUGHT: &str = "CAST(CASE WHEN status <> 3 OR next_ms IS NULL THEN 0 WHEN EXISTS (SELECT 1 FROM lanes WHERE \
                      lanes.id = deliveries.lane_id AND lanes.state = 2 AND lanes.epoch = deliveries.epoch) THEN 2 \
                      ELSE 1 END AS BIGINT)";

/// Whether a part was tried, as a number. An attempt that does not count leaves its error.
const TRIED: &str = "CAST(CASE WHEN attempt > 0 OR error_code IS NOT NULL THEN 1 ELSE 0 END AS BIGINT)";

/// The parts of a delivery in order; none when there is no such delivery.
pub async fn parts(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<Part>, StoreError> {
    let query = Query::new(format!("SELECT {COLUMNS}, {SOUGHT}, {TRIED} FROM deliveries WHERE id = ? ORDER BY part"));
    tx.fetch(query.bind(id)).await?.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<Part, StoreError> {
    let other = |bytes: Option<Vec<u8>>| bytes.as_deref().and_then(DeliveryId::from_slice);
    Ok(Part {
        id: row.take()?,
        part: row.take()?,
        parts: row.take()?,
        run: row.take()?,
        run_epoch: row.take()?,
        ordinal: row.take()?,
        session: row.take()?,
        plugin: row.take()?,
        address: row.take()?,
        lane: row.take()?,
        seq: row.take()?,
        status: DeliveryStatus::from_code(row.take()?).ok_or(StoreError::Damaged("a delivery has no known status"))?,
        attempts: row.take()?,
        ended_ms: row.take()?,
        platform_ref: row.take()?,
        detail: row.take()?,
        text: row.take()?,
        artifact: row.take()?,
        origin: other(row.take()?),
        replayed_from: other(row.take()?),
        sought: match row.take::<i64>()? {
            0 => Sought::No,
            1 => Sought::Waits,
            _ => Sought::Now,
        },
        tried: row.take::<i64>()? != 0,
    })
}

/// Writes parts of a new delivery; those that wait are due now.
pub async fn insert(tx: &mut Tx<'_>, parts: &[Part], now_ms: i64) -> Result<(), StoreError> {
    for chunk in portions(parts) {
        let head = format!("INSERT INTO deliveries ({COLUMNS}, epoch, next_ms, created_ms) VALUES");
        let mut query = Query::rows(&head, 23, chunk.len(), "");
        for part in chunk {
            let bytes = |id: Option<DeliveryId>| id.map(|id| id.as_bytes().to_vec());
            query = query
                .bind(part.id)
                .bind(part.part)
                .bind(part.parts)
                .bind(part.run)
                .bind(part.run_epoch)
                .bind(part.ordinal)
                .bind(&part.session)
                .bind(part.plugin.as_str())
                .bind(part.address.as_str())
                .bind(part.lane.as_str())
                .bind(part.seq)
                .bind(part.status as i64)
                .bind(part.attempts)
                .bind(part.ended_ms)
                .bind(part.platform_ref.clone())
                .bind(part.detail.clone())
                .bind(part.text.clone())
                .bind(part.artifact.clone())
                .bind(bytes(part.origin))
                .bind(bytes(part.replayed_from))
                .bind(0)
                .bind((part.status == DeliveryStatus::Pending).then_some(now_ms))
                .bind(now_ms);
        }
        tx.execute(query).await?;
    }
    Ok(())
}

/// The newest delivery that repeats this one.
pub async fn replay_of(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
    let query = Query::new("SELECT id FROM deliveries WHERE replayed_from = ? AND part = 0 ORDER BY id DESC LIMIT 1");
    tx.fetch(query.bind(id)).await?.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Says that nothing is left to do about a dead letter. What was said first stays.
pub async fn resolve(tx: &mut Tx<'_>, id: DeliveryId, reason: &str, now_ms: i64) -> Result<bool, StoreError> {
    let query =
        Query::new("UPDATE deliveries SET resolved_ms = ?, resolution = ? WHERE id = ? AND resolved_ms IS NULL");
    Ok(tx.execute(query.bind(now_ms).bind(reason).bind(id)).await? > 0)
}

/// Withdraws a part that waits.
pub async fn cancel(tx: &mut Tx<'_>, part: &Part, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET status = 5, next_ms = NULL, ended_ms = ? WHERE id = ? AND part = ? AND status = 0",
    );
    tx.execute(query.bind(now_ms).bind(part.id).bind(part.part)).await?;
    Ok(())
}

/// Puts an unknown part back, at this place of its lane and due now.
pub async fn put_back(tx: &mut Tx<'_>, part: &Part, seq: i64, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET status = 0, seq = ?, next_ms = ?, look_ups = 0, ended_ms = NULL \
         WHERE id = ? AND part = ? AND status = 3",
    );
    tx.execute(query.bind(seq).bind(now_ms).bind(part.id).bind(part.part)).await?;
    Ok(())
}

/// Has an unknown part looked up, at this place of its lane and due now.
pub async fn seek(tx: &mut Tx<'_>, part: &Part, seq: i64, now_ms: i64) -> Result<(), StoreError> {
    let query =
        Query::new("UPDATE deliveries SET seq = ?, next_ms = ?, look_ups = 0 WHERE id = ? AND part = ? AND status = 3");
    tx.execute(query.bind(seq).bind(now_ms).bind(part.id).bind(part.part)).await?;
    Ok(())
}

/// Makes an unknown part one that arrived.
pub async fn arrived(tx: &mut Tx<'_>, part: &Part, platform_id: Option<&str>, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE deliveries SET status = 2, ended_ms = ?, platform_ref = ?, error_code = NULL, error_detail = NULL, \
         next_ms = NULL, look_ups = 0 WHERE id = ? AND part = ? AND status = 3",
    );
    let platform_ref = platform_id.map(str::to_owned).or_else(|| part.platform_ref.clone());
    tx.execute(query.bind(now_ms).bind(platform_ref).bind(part.id).bind(part.part)).await?;
    Ok(())
}

/// Removes a delivery and its recorded attempts.
pub async fn purge(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(), StoreError> {
    tx.execute(Query::new("DELETE FROM delivery_attempts WHERE delivery_id = ?").bind(id)).await?;
    tx.execute(Query::new("DELETE FROM deliveries WHERE id = ?").bind(id)).await?;
    Ok(())
}
