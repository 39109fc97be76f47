//! Deliveries as their readers see them: parts put together.
//!
//! Lists find ids first, by the primary key, `deliveries_of_run`, `deliveries_of_session`, or for what is dead or unknown
//! `deliveries_unresolved`, and then the parts of those on the page only.

use crate::{
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        ids::{DeliveryId, RunId, SessionId},
        target::ReplyTarget,
    },
    store::{
        Store, StoreError, only,
        sql::{Conditions, Query, Row, portions},
        tally_codes,
    },
};

/// The most attempts shown of one delivery.
const ATTEMPTS_SHOWN: i64 = 1_000;

/// A delivery.
#[derive(Clone, Debug)]
pub struct StoredDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The run whose output it carries.
    pub run: RunId,
    /// The run's session.
    pub session: SessionId,
    /// Where it goes.
    pub target: ReplyTarget,
    /// Bytes of the output.
    pub bytes: i64,
    /// Files beside the output, a JSON array.
    pub artifacts: String,
    /// When an operator said that nothing is left to do, and why.
    pub resolved: Option<(i64, String)>,
    /// The delivery that this one repeats.
    pub replayed_from: Option<DeliveryId>,
    /// Its parts in order; there is one at least.
    pub parts: Vec<StoredPart>,
}

/// One part of a delivery.
#[derive(Clone, Debug)]
pub struct StoredPart {
    /// Its place, from 0.
    pub part: i64,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next, or looked up where it is unknown, at the earliest: not while its lane is left in peace, nor before
    /// the next probe of a connector that is paused.
    pub next_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// What went wrong last, stable and for people.
    pub error: Option<(String, String)>,
    /// What the platform calls it.
    pub platform_ref: Option<String>,
    /// Whether it is a file rather than text.
    pub is_file: bool,
}

impl StoredDelivery {
    /// Where it stands as a whole.
    pub fn state(&self) -> DeliveryState {
        DeliveryState::of(self.parts.iter().map(|part| (part.status, part.tried())))
    }
}

impl StoredPart {
    /// Whether it was tried, be it for nothing that counts: such an attempt leaves its error.
    fn tried(&self) -> bool {
        self.attempts > 0 || self.error.is_some()
    }
}

const COLUMNS: &str = "SELECT deliveries.id, deliveries.run_id, deliveries.session_id, plugin, address, resolved_ms, \
     resolution, replayed_from, part, status, attempt, next_ms, \
     (SELECT ready_at FROM lanes WHERE lanes.id = deliveries.lane_id AND lanes.state = 1), \
     (SELECT probe_ms FROM lanes JOIN delivery_pauses ON delivery_pauses.connector = lanes.owner \
     WHERE lanes.id = deliveries.lane_id), \
     ended_ms, error_code, error_detail, platform_ref, artifact, \
     CAST(octet_length(outputs.content) AS BIGINT), outputs.artifacts FROM deliveries LEFT JOIN outputs ON deliveries.part = 0 AND \
     outputs.run_id = deliveries.run_id AND outputs.epoch = deliveries.run_epoch AND outputs.ordinal = deliveries.ordinal \
     WHERE deliveries.id IN";

/// A part with the delivery that it begins.
fn read(mut row: Row) -> Result<StoredDelivery, StoreError> {
    let (id, run, session) = (row.take()?, row.take()?, row.take()?);
    let target = ReplyTarget { plugin: row.take()?, address: row.take()? };
    let resolved = match (row.take::<Option<i64>>()?, row.take::<Option<String>>()?) {
        (Some(at), why) => Some((at, why.unwrap_or_default())),
        (None, _) => None,
    };
    let replayed_from = row.take::<Option<Vec<u8>>>()?.as_deref().and_then(DeliveryId::from_slice);
    let part = StoredPart {
        part: row.take()?,
        status: DeliveryStatus::from_code(row.take()?).ok_or(StoreError::Damaged("a delivery has no known status"))?,
        attempts: row.take()?,
        next_ms: next_ms(&mut row)?,
        ended_ms: row.take()?,
        error: match (row.take::<Option<String>>()?, row.take::<Option<String>>()?) {
            (Some(code), detail) => Some((code, detail.unwrap_or_default())),
            (None, _) => None,
        },
        platform_ref: row.take()?,
        is_file: row.take::<Option<String>>()?.is_some(),
    };
    let bytes = row.take::<Option<i64>>()?.unwrap_or_default();
    let artifacts = row.take::<Option<String>>()?.unwrap_or_else(|| "[]".to_owned());
    Ok(StoredDelivery { id, run, session, target, bytes, artifacts, resolved, replayed_from, parts: vec![part] })
}

/// The latest of when the part, its lane and its connector are due; none for a part that waits for nothing.
fn next_ms(row: &mut Row) -> Result<Option<i64>, StoreError> {
    let (own, lane, probe): (Option<i64>, Option<i64>, Option<i64>) = (row.take()?, row.take()?, row.take()?);
    Ok(own.and_then(|_| own.max(lane).max(probe)))
}

async fn with_parts(store: &Store, ids: Vec<DeliveryId>) -> Result<Vec<StoredDelivery>, StoreError> {
    let mut found: Vec<StoredDelivery> = Vec::with_capacity(ids.len());
    for chunk in portions(&ids) {
        let query = Query::within(COLUMNS, chunk.iter().copied(), "ORDER BY deliveries.id, part");
        for row in store.read(query).await? {
            let mut next = read(row)?;
            match found.last_mut().filter(|last| last.id == next.id) {
                Some(last) => last.parts.append(&mut next.parts),
                None => found.push(next),
            }
        }
    }
    Ok(found)
}

/// What a list of deliveries is narrowed to, and where it goes on.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only this run's.
    pub run: Option<RunId>,
    /// Only this session's.
    pub session: Option<SessionId>,
    /// Only to targets of this plugin.
    pub plugin: Option<String>,
    /// Only these.
    pub state: Option<DeliveryState>,
    /// Only those that nobody has resolved.
    pub unresolved: bool,
    /// Only those that were resolved, or ended at this moment or before it.
    pub done_by_ms: Option<i64>,
    /// Only those after this one.
    pub after: Option<DeliveryId>,
}

impl DeliveryFilter {
    /// The conditions but for the place where the list goes on.
    fn conditions(&self) -> Conditions {
        let (text, code) = rows_of(self.state);
        Conditions::default()
            .and("run_id = ?", self.run)
            .and("session_id = ?", self.session.as_ref())
            .and("plugin = ?", self.plugin.as_deref())
            .and(text, Some(code))
            .and("resolved_ms IS NULL AND created_ms >= ?", self.unresolved.then_some(0))
            .and("(resolved_ms IS NOT NULL OR ended_ms <= ?)", self.done_by_ms)
    }
}

/// The rows by which deliveries in this state are found. The statuses are written out, because the partial index is only
/// used where they are.
fn rows_of(state: Option<DeliveryState>) -> (&'static str, i64) {
    use DeliveryStatus::{Cancelled, Dead, Delivered, Pending, Sending, Unknown};
    match state {
        None => ("part = ?", 0),
        Some(DeliveryState::DeadLettered) => ("status = 4 AND status = ?", Dead as i64),
        Some(DeliveryState::Unknown) => (
            "status = 3 AND status = ? AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND other.status = 4)",
            Unknown as i64,
        ),
        Some(DeliveryState::Sending) => (
            "status = 1 AND status = ? AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND other.status IN (3, 4))",
            Sending as i64,
        ),
        Some(DeliveryState::Retrying) => (
            "status = 0 AND status = ? AND (attempt > 0 OR error_code IS NOT NULL) AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND other.status IN (1, 3, 4))",
            Pending as i64,
        ),
        Some(DeliveryState::Pending) => (
            "status = 0 AND status = ? AND attempt = 0 AND error_code IS NULL AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND (other.status IN (1, 3, 4) OR \
             (other.status = 0 AND (other.attempt > 0 OR other.error_code IS NOT NULL))))",
            Pending as i64,
        ),
        Some(DeliveryState::Cancelled) => (
            "status = 5 AND status = ? AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND other.status IN (0, 1, 3, 4))",
            Cancelled as i64,
        ),
        Some(DeliveryState::Delivered) => (
            "status = 2 AND status = ? AND part = 0 AND NOT EXISTS \
             (SELECT 1 FROM deliveries AS other WHERE other.id = deliveries.id AND other.status <> 2)",
            Delivered as i64,
        ),
    }
}

/// Committed deliveries in the order in which they were made.
pub async fn list(store: &Store, filter: &DeliveryFilter, limit: i64) -> Result<Vec<StoredDelivery>, StoreError> {
    let ids = ids(store, filter, limit).await?;
    with_parts(store, ids).await
}

/// The ids of such a list alone.
pub async fn ids(store: &Store, filter: &DeliveryFilter, limit: i64) -> Result<Vec<DeliveryId>, StoreError> {
    let conditions = filter.conditions().and("id > ?", filter.after);
    let query = conditions.query("SELECT DISTINCT id FROM deliveries", "ORDER BY id LIMIT ?").bind(limit);
    store.read(query).await?.into_iter().map(|mut row| row.take()).collect()
}

/// How many match, wherever the list goes on.
pub async fn count(store: &Store, filter: &DeliveryFilter) -> Result<i64, StoreError> {
    let head = if filter.state.is_none() {
        "SELECT COUNT(*) FROM deliveries"
    } else {
        "SELECT COUNT(DISTINCT id) FROM deliveries"
    };
    only(store.read(filter.conditions().query(head, "")).await?)?.take()
}

/// One committed delivery.
pub async fn get(store: &Store, id: DeliveryId) -> Result<Option<StoredDelivery>, StoreError> {
    Ok(with_parts(store, vec![id]).await?.into_iter().next())
}

/// What a delivery says.
#[derive(Clone, Debug)]
pub struct Content {
    /// The whole output; none when it was pruned.
    pub content: Option<String>,
    /// The parts' own texts in order; none stands for the whole.
    pub texts: Vec<Option<String>>,
}

/// What a delivery says, as a whole and in its parts.
pub async fn content(store: &Store, id: DeliveryId) -> Result<Content, StoreError> {
    let query = Query::new(
        "SELECT outputs.content FROM deliveries JOIN outputs ON outputs.run_id = deliveries.run_id AND \
         outputs.epoch = deliveries.run_epoch AND outputs.ordinal = deliveries.ordinal WHERE deliveries.id = ? AND part = 0",
    );
    let content = store.read(query.bind(id)).await?.into_iter().next().map(|mut row| row.take()).transpose()?;
    let query = Query::new("SELECT text FROM deliveries WHERE id = ? ORDER BY part");
    let texts = store.read(query.bind(id)).await?.into_iter().map(|mut row| row.take()).collect::<Result<_, _>>()?;
    Ok(Content { content, texts })
}

/// An attempt that did not succeed, or a look-up.
#[derive(Clone, Debug)]
pub struct StoredAttempt {
    /// Of which part.
    pub part: i64,
    /// Which attempt, from 1.
    pub attempt: i64,
    /// When it began.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// `retry`, `unknown`, `dead` or `look_up`.
    pub outcome: String,
    /// Why, stable and for people.
    pub error: (String, String),
}

/// The recorded attempts of a delivery in the order of their ends, the first thousand.
pub async fn attempts(store: &Store, id: DeliveryId) -> Result<Vec<StoredAttempt>, StoreError> {
    let query = Query::new(
        "SELECT part, attempt, started_ms, ended_ms, outcome, code, detail FROM delivery_attempts WHERE delivery_id = ? \
         ORDER BY ended_ms, part LIMIT ?",
    );
    let rows = store.read(query.bind(id).bind(ATTEMPTS_SHOWN)).await?;
    let read = |mut row: Row| {
        Ok(StoredAttempt {
            part: row.take()?,
            attempt: row.take()?,
            started_ms: row.take()?,
            ended_ms: row.take()?,
            outcome: row.take()?,
            error: (row.take()?, row.take()?),
        })
    };
    rows.into_iter().map(read).collect()
}

/// How many parts stand where; every status is in it.
pub async fn tally(store: &Store) -> Result<Vec<(DeliveryStatus, i64)>, StoreError> {
    let counts = tally_codes(store, "SELECT status, COUNT(*) FROM deliveries GROUP BY status").await?;
    Ok(DeliveryStatus::ALL.map(|status| (status, counts.get(&(status as i64)).copied().unwrap_or(0))).to_vec())
}

/// The newest delivery that repeats this one.
pub async fn replay_of(store: &Store, id: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
    let query = Query::new("SELECT id FROM deliveries WHERE replayed_from = ? AND part = 0 ORDER BY id DESC LIMIT 1");
    store.read(query.bind(id)).await?.into_iter().next().map(|mut row| row.take()).transpose()
}
