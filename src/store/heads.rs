//! Heads: the one lockable row in front of an ordered line.
//!
//! A session stands before its runs, a lane before its deliveries, with the same columns and the same statements. To
//! claim is to lock a head and then, in a second statement of the same transaction, to take its oldest item. One
//! statement for both would decide from a snapshot that is older than the lock and, on PostgreSQL, hand out finished
//! items again. For the same reason "idle or ready" is read from the locked row's own counter, never from a subquery.
//!
//! Whoever changes items and their head locks the head first, with [`lock_of`] where nothing else does: two that begin at
//! different ends wait for each other.

use std::collections::HashMap;

use super::{
    Store, StoreError,
    sql::{Query, Value, portions},
    writer::Tx,
};
use crate::model::ids::DeliveryId;

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Sessions before runs.
    Sessions,
    /// Lanes before deliveries.
    Lanes,
}

impl Line {
    fn table(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Lanes => "lanes",
        }
    }

    /// The table of its items, and the column there that names the head.
    fn items(self) -> (&'static str, &'static str) {
        match self {
            Self::Sessions => ("runs", "session_id"),
            Self::Lanes => ("deliveries", "lane_id"),
        }
    }

    /// The column that says whose the line is.
    fn owner(self) -> &'static str {
        match self {
            Self::Sessions => "executor",
            Self::Lanes => "owner",
        }
    }
}

/// A head that is leased to the caller, at this fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The head's id.
    pub id: String,
    /// Grows with each claim and each rescue; every write under the lease names it.
    pub epoch: i64,
}

/// The end of a line after items were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The position of the last item that was added.
    pub last_seq: i64,
    /// Items that wait, the added ones included.
    pub queued: i64,
    /// Whether nothing waited and nothing was leased before.
    pub was_idle: bool,
    /// Whom a lane leads to, or who performs a session's runs.
    pub owner: String,
}

/// A lease to take.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// Who holds it.
    pub owner: &'a str,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// When it ends.
    pub until_ms: i64,
}

/// Room at the end of a line.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// The head.
    pub id: &'a str,
    /// How many items.
    pub count: i64,
    /// Whom a lane leads to, or who performs a session's runs, for a head that is made.
    pub owner: Option<&'a str>,
}

/// Adds room for items at the end of lines, making the heads where they are missing. Each id occurs once.
pub async fn grow(
    tx: &mut Tx<'_>,
    line: Line,
    added: &[Added<'_>],
    now_ms: i64,
) -> Result<HashMap<String, Tail>, StoreError> {
    let mut tails = HashMap::with_capacity(added.len());
    let mut idle: Vec<String> = Vec::new();
    for chunk in portions(added) {
        let table = line.table();
        let owner = line.owner();
        let head = format!(
            "{} {table} (id, state, ready_at, epoch, queued, last_seq, created_ms, updated_ms, {owner}) VALUES",
            tx.dialect().insert_many()
        );
        // Columns of an index are left alone: most heads are ready or leased already, and stay where they are in it.
        let tail = format!(
            "ON CONFLICT (id) DO UPDATE SET queued = {table}.queued + excluded.queued, \
             last_seq = {table}.last_seq + excluded.last_seq, updated_ms = excluded.updated_ms \
             RETURNING id, state, last_seq, queued, {owner}"
        );
        let mut query = Query::rows(&head, 9, chunk.len(), &tail);
        for Added { id, count, owner } in chunk {
            query = query.bind(*id).bind(1).bind(now_ms).bind(0).bind(*count).bind(*count).bind(now_ms).bind(now_ms);
            query = query.bind(owner.unwrap_or_default());
        }
        let counts: HashMap<&str, i64> = chunk.iter().map(|added| (added.id, added.count)).collect();
        for mut row in tx.fetch(query).await? {
            let (id, state): (String, i64) = (row.take()?, row.take()?);
            if state == 0 {
                idle.push(id.clone());
            }
            let (last_seq, queued): (i64, i64) = (row.take()?, row.take()?);
            // A head that was just made is ready, and has no more than what was added.
            let was_idle = state == 0 || (state == 1 && counts.get(id.as_str()) == Some(&queued));
            tails.insert(id, Tail { last_seq, queued, was_idle, owner: row.take()? });
        }
    }
    make_ready(tx, line, &idle, now_ms).await?;
    Ok(tails)
}

/// Idle heads that got items, locked by the statement that gave them. A lane that became idle while its target was to be left
/// in peace is ready when that is over.
async fn make_ready(tx: &mut Tx<'_>, line: Line, idle: &[String], now_ms: i64) -> Result<(), StoreError> {
    let earliest = match line {
        Line::Sessions => "0",
        Line::Lanes => "ready_at",
    };
    for chunk in portions(idle) {
        let marks = vec!["?"; chunk.len()].join(",");
        let update = format!(
            "UPDATE {} SET state = 1, ready_at = CASE WHEN {earliest} > ? THEN ready_at ELSE ? END \
             WHERE state = 0 AND id IN ({marks})",
            line.table()
        );
        let query = Query::new(update).bind(now_ms).bind(now_ms);
        tx.execute(query.bind_all(chunk.iter().map(String::as_str))).await?;
    }
    Ok(())
}

/// Leases up to `limit` ready sessions of these executors, the longest-ready first. The caller takes each session's oldest
/// run next. Each executor has a statement of its own, which reads no more of the index than it takes. Which lanes are leased
/// is said in [`super::turns`].
pub async fn claim(
    tx: &mut Tx<'_>,
    executors: &[String],
    limit: i64,
    lease: Lease<'_>,
) -> Result<Vec<Claimed>, StoreError> {
    let lock = tx.dialect().for_update();
    let mut ready: Vec<(i64, String)> = Vec::new();
    for executor in executors {
        let query = Query::new(format!(
            "SELECT ready_at, id FROM sessions WHERE state = 1 AND executor = ? AND ready_at <= ? \
             ORDER BY ready_at, id LIMIT ? {lock}"
        ));
        for mut row in tx.fetch(query.bind(executor.as_str()).bind(lease.now_ms).bind(limit)).await? {
            ready.push((row.take()?, row.take()?));
        }
    }
    ready.sort_unstable();
    ready.truncate(usize::try_from(limit).unwrap_or(0));
    take(tx, Line::Sessions, ready.into_iter().map(|(_, id)| id).collect(), lease).await
}

/// Whether a session of these executors is ready, for those that are seldom asked for: a look costs no turn of the writer.
pub async fn is_ready(store: &Store, executors: &[String], now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::within(
        "SELECT id FROM sessions WHERE state = 1 AND executor IN",
        executors.iter().map(String::as_str),
        "AND ready_at <= ? LIMIT 1",
    );
    Ok(!store.read(query.bind(now_ms)).await?.is_empty())
}

/// A session's front is the place of its oldest run that waits, as its last claim found it: none before it waits. So the next
/// claim finds its run without an index of those that wait, and passes no run twice.
const FRONT: &str = ", front = COALESCE((SELECT seq FROM runs WHERE session_id = sessions.id AND seq >= sessions.front \
     AND status = 0 ORDER BY seq LIMIT 1), last_seq + 1)";

/// Leases these heads, which are ready and were chosen and locked in this transaction.
pub async fn take(tx: &mut Tx<'_>, line: Line, ids: Vec<String>, lease: Lease<'_>) -> Result<Vec<Claimed>, StoreError> {
    let table = line.table();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let front = match line {
        Line::Sessions => FRONT,
        Line::Lanes => "",
    };
    let update = Query::new(format!(
        "UPDATE {table} SET state = 2, epoch = epoch + 1, queued = queued - 1, lease_owner = ?, lease_until = ?, \
         updated_ms = ? {front} WHERE state = 1 AND id IN ({}) RETURNING id, epoch",
        vec!["?"; ids.len()].join(",")
    ));
    let update = update.bind(lease.owner).bind(lease.until_ms).bind(lease.now_ms).bind_all(ids);
    let mut claimed = Vec::new();
    for mut row in tx.fetch(update).await? {
        claimed.push(Claimed { id: row.take()?, epoch: row.take()? });
    }
    Ok(claimed)
}

/// Gives a leased head back after its item ended: ready when more wait, else idle. False when the lease was lost.
pub async fn release(tx: &mut Tx<'_>, line: Line, head: &Claimed, now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new(format!(
        "UPDATE {} SET state = CASE WHEN queued > 0 THEN 1 ELSE 0 END, ready_at = ?, updated_ms = ?, \
         lease_owner = NULL, lease_until = NULL WHERE id = ? AND epoch = ? AND state = 2",
        line.table()
    ));
    let changed = tx.execute(query.bind(now_ms).bind(now_ms).bind(head.id.as_str()).bind(head.epoch)).await?;
    Ok(changed == 1)
}

/// Takes an item that waits out of a session's line: a ready session with nothing else is idle then.
pub async fn withdraw(tx: &mut Tx<'_>, session: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "UPDATE sessions SET state = CASE WHEN state = 1 AND queued = 1 THEN 0 ELSE state END, queued = queued - 1, \
         updated_ms = ? WHERE id = ?",
    );
    tx.execute(query.bind(now_ms).bind(session)).await?;
    Ok(())
}

/// A session whose oldest run waited is ready at once.
pub async fn hurry(tx: &mut Tx<'_>, session: &str, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new("UPDATE sessions SET ready_at = ? WHERE id = ? AND state = 1 AND ready_at > ?");
    tx.execute(query.bind(now_ms).bind(session).bind(now_ms)).await?;
    tx.wake_runs();
    Ok(())
}

/// Locks the head in front of this run or this delivery for the rest of the transaction. What was read before may be old by
/// then. Where there is one writer nothing is to be locked.
pub async fn lock_of(tx: &mut Tx<'_>, line: Line, item: impl Into<Value>) -> Result<(), StoreError> {
    let lock = tx.dialect().for_update_in_turn();
    if lock.is_empty() {
        return Ok(());
    }
    let (table, (items, head)) = (line.table(), line.items());
    let query = format!("SELECT id FROM {table} WHERE id = (SELECT {head} FROM {items} WHERE id = ? LIMIT 1) {lock}");
    tx.fetch(Query::new(query).bind(item)).await.map(drop)
}

/// Puts a leased head's item back to the front: the head is ready again at `ready_ms`, at a new fence. False when the
/// lease was lost.
pub async fn put_back(
    tx: &mut Tx<'_>,
    line: Line,
    head: &Claimed,
    ready_ms: i64,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let query = Query::new(format!(
        "UPDATE {} SET state = 1, ready_at = ?, queued = queued + 1, epoch = epoch + 1, updated_ms = ?, \
         lease_owner = NULL, lease_until = NULL WHERE id = ? AND epoch = ? AND state = 2",
        line.table()
    ));
    let changed = tx.execute(query.bind(ready_ms).bind(now_ms).bind(head.id.as_str()).bind(head.epoch)).await?;
    Ok(changed == 1)
}

/// Takes items that will not be claimed off a leased lane.
pub async fn forget(tx: &mut Tx<'_>, lane: &Claimed, items: i64) -> Result<(), StoreError> {
    let query = Query::new("UPDATE lanes SET queued = queued - ? WHERE id = ? AND epoch = ?");
    tx.execute(query.bind(items).bind(lane.id.as_str()).bind(lane.epoch)).await?;
    Ok(())
}

/// Holds a leased lane: nothing is claimed from it until somebody has decided about this delivery.
pub async fn hold(tx: &mut Tx<'_>, lane: &Claimed, delivery: DeliveryId) -> Result<(), StoreError> {
    let query = Query::new("UPDATE lanes SET held = ? WHERE id = ? AND epoch = ?");
    tx.execute(query.bind(delivery).bind(lane.id.as_str()).bind(lane.epoch)).await?;
    Ok(())
}

/// Notes that a leased lane's target failed once more in a row. From `limit` failures on, the lane waits until `open_until`
/// for its next attempt, which is the probe; says whether that is so.
pub async fn failed(tx: &mut Tx<'_>, lane: &Claimed, limit: i64, open_until: i64) -> Result<bool, StoreError> {
    let query = Query::new(
        "UPDATE lanes SET failures = failures + 1, open_until = CASE WHEN failures + 1 >= ? THEN ? ELSE NULL END \
         WHERE id = ? AND epoch = ? RETURNING open_until",
    );
    let rows = tx.fetch(query.bind(limit).bind(open_until).bind(lane.id.as_str()).bind(lane.epoch)).await?;
    let open = rows.into_iter().next().map(|mut row| row.take::<Option<i64>>()).transpose()?;
    Ok(open.flatten().is_some())
}

/// The breaker of a leased lane closes: its target took something.
pub async fn recovered(tx: &mut Tx<'_>, lane: &Claimed) -> Result<(), StoreError> {
    let query =
        Query::new("UPDATE lanes SET failures = 0, open_until = NULL WHERE id = ? AND epoch = ? AND failures > 0");
    tx.execute(query.bind(lane.id.as_str()).bind(lane.epoch)).await?;
    Ok(())
}

/// Moves the end of a lease. False when the lease was lost.
pub async fn renew(tx: &mut Tx<'_>, line: Line, head: &Claimed, until_ms: i64) -> Result<bool, StoreError> {
    let query =
        Query::new(format!("UPDATE {} SET lease_until = ? WHERE id = ? AND epoch = ? AND state = 2", line.table()));
    Ok(tx.execute(query.bind(until_ms).bind(head.id.as_str()).bind(head.epoch)).await? == 1)
}

/// Makes somebody else the owner of a session's lease, which keeps its fence. False when the lease was lost.
pub async fn pass_on(tx: &mut Tx<'_>, head: &Claimed, owner: &str, until_ms: i64) -> Result<bool, StoreError> {
    let query =
        Query::new("UPDATE sessions SET lease_owner = ?, lease_until = ? WHERE id = ? AND epoch = ? AND state = 2");
    Ok(tx.execute(query.bind(owner).bind(until_ms).bind(head.id.as_str()).bind(head.epoch)).await? == 1)
}

/// Up to `limit` heads whose lease is over: past its end, or held by a former process of this daemon (an owner that
/// starts with `own` but is not `me`), whose tasks died with it.
pub async fn abandoned(
    tx: &mut Tx<'_>,
    line: Line,
    now_ms: i64,
    limit: i64,
    former: Option<Former<'_>>,
) -> Result<Vec<Claimed>, StoreError> {
    let lock = tx.dialect().for_update();
    let table = line.table();
    let query = match former {
        None => {
            Query::new(format!("SELECT id, epoch FROM {table} WHERE state = 2 AND lease_until <= ? LIMIT ? {lock}"))
                .bind(now_ms)
        }
        Some(former) => Query::new(format!(
            "SELECT id, epoch FROM {table} WHERE state = 2 AND lease_owner LIKE ? AND lease_owner <> ? LIMIT ? {lock}"
        ))
        .bind(format!("{}%", former.family))
        .bind(former.me),
    };
    let mut heads = Vec::new();
    for mut row in tx.fetch(query.bind(limit)).await? {
        heads.push(Claimed { id: row.take()?, epoch: row.take()? });
    }
    Ok(heads)
}

/// Lease owners that are tasks of this daemon, by how their names begin.
#[derive(Clone, Copy, Debug)]
pub struct Former<'a> {
    /// What every such owner's name begins with.
    pub family: &'a str,
    /// The owner that is alive.
    pub me: &'a str,
}
