//! What is old: found by readers in slices of a walk, deleted by the writer in batches that look at the time.

use std::time::{Duration, Instant};

use super::{
    Store, StoreError,
    sql::{Query, Value},
    writer::{Command, Tx},
};
use crate::metrics::label::Pruned;

/// Rows that a reader looks at in one statement. A longer one would keep the write-ahead log from being folded back.
const SLICE: i64 = 2_048;

/// Keys in one statement of the writer, at most; a power of two, and so is the number in every statement.
const CHUNK: usize = 64;

/// The moments before which things are old, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Receipts that were accepted before.
    pub receipts: i64,
    /// Attempts to deliver that ended before.
    pub attempts: i64,
    /// Deliveries that were delivered or cancelled before.
    pub delivered: i64,
    /// Deliveries that died or were resolved before.
    pub dead_letters: i64,
    /// Runs that ended before.
    pub runs: i64,
    /// Runs that ended before, as far as their input and metadata go.
    pub bodies: i64,
    /// Sessions that last changed before; none of them when absent.
    pub sessions: Option<i64>,
}

/// How a table is walked, and what of it goes.
struct Plan {
    /// `SELECT key, is it old` up to and without the conditions of the walk.
    select: &'static str,
    /// The conditions of the walk: from where on, and up to which key, where keys begin with a time.
    range: &'static str,
    /// What an old row fulfils.
    old: &'static str,
    /// The arguments of `old`.
    moments: Vec<i64>,
    /// Keys begin with a time, and none from this moment on is old.
    bound: Option<i64>,
}

/// All parts of a delivery have ended long ago, and nothing that repeats it needs it.
const DELIVERY_IS_OLD: &str = "MIN(CASE WHEN ((status IN (2, 5) AND COALESCE(ended_ms, created_ms) < ?) \
     OR (status = 4 AND COALESCE(resolved_ms, ended_ms, created_ms) < ?) OR (status = 3 AND resolved_ms < ?)) \
     AND NOT EXISTS (SELECT 1 FROM deliveries later WHERE later.replayed_from = deliveries.id \
     AND later.status IN (0, 1, 3) AND later.resolved_ms IS NULL) THEN 1 ELSE 0 END) = 1";

const RUN_IS_OLD: &str =
    "status >= 2 AND finished_ms < ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run_id = runs.id)";

/// What still has to be sent keeps everything of its run.
const BODY_IS_OLD: &str = "body_pruned = 0 AND status >= 2 AND finished_ms < ? AND NOT EXISTS (SELECT 1 FROM deliveries \
     WHERE run_id = runs.id AND deliveries.status IN (0, 1, 3) AND resolved_ms IS NULL)";

const SESSION_IS_OLD: &str = "state = 0 AND queued = 0 AND updated_ms < ? \
     AND NOT EXISTS (SELECT 1 FROM runs WHERE session_id = sessions.id)";

/// What goes of this table; nothing when it is kept for ever.
fn plan(table: Pruned, before: &Before) -> Option<Plan> {
    let simple = |select, range, old, moment| Plan { select, range, old, moments: vec![moment], bound: Some(moment) };
    Some(match table {
        Pruned::Receipts => Plan {
            bound: None,
            ..simple("key FROM receipts", "key > ? ORDER BY key", "accepted_ms < ?", before.receipts)
        },
        Pruned::Attempts => simple(
            "delivery_id FROM delivery_attempts",
            "delivery_id > ? AND delivery_id < ? GROUP BY delivery_id ORDER BY delivery_id",
            "MIN(ended_ms) < ?",
            before.attempts,
        ),
        Pruned::Deliveries => Plan {
            select: "id FROM deliveries",
            range: "id > ? AND id < ? GROUP BY id ORDER BY id",
            old: DELIVERY_IS_OLD,
            moments: vec![before.delivered, before.dead_letters, before.dead_letters],
            bound: Some(before.delivered.max(before.dead_letters)),
        },
        Pruned::Runs => simple("id FROM runs", "id > ? AND id < ? ORDER BY id", RUN_IS_OLD, before.runs),
        Pruned::Bodies => simple("id FROM runs", "id > ? AND id < ? ORDER BY id", BODY_IS_OLD, before.bodies),
        Pruned::Sessions => {
            Plan { bound: None, ..simple("id FROM sessions", "id > ? ORDER BY id", SESSION_IS_OLD, before.sessions?) }
        }
    })
}

/// A walk over one table in the order of its key.
pub struct Walk {
    table: Pruned,
    plan: Option<Plan>,
    /// Everything up to this key was looked at.
    after: Value,
}

impl Walk {
    /// A walk from the beginning.
    pub fn new(table: Pruned, before: Before) -> Self {
        let after = match table {
            Pruned::Sessions => Value::from(""),
            _ => Value::from(Vec::new()),
        };
        Self { table, plan: plan(table, &before), after }
    }

    /// The keys of old rows in the next slice, of which there may be none; `None` at the end.
    pub async fn next(&mut self, store: &Store) -> Result<Option<Vec<Value>>, StoreError> {
        let Some(plan) = &self.plan else { return Ok(None) };
        let (key, table) = plan.select.split_once(' ').unwrap_or_default();
        let text = format!(
            "SELECT {key}, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) {table} WHERE {} LIMIT ?",
            plan.old, plan.range
        );
        let query = Query::new(text).bind_all(plan.moments.iter().copied()).bind(self.after.clone());
        let query = match plan.bound {
            Some(bound) => query.bind(first_key(bound)),
            None => query,
        };
        let mut keys = Vec::new();
        let rows = store.read(query.bind(SLICE)).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for mut row in rows {
            self.after = match self.table {
                Pruned::Sessions => Value::from(row.take::<String>()?),
                _ => Value::from(row.take::<Vec<u8>>()?),
            };
            if row.take::<i64>()? == 1 {
                keys.push(self.after.clone());
            }
        }
        Ok(Some(keys))
    }
}

/// The smallest id that was made at this moment: ids begin with six bytes of milliseconds.
fn first_key(moment_ms: i64) -> Vec<u8> {
    [&moment_ms.max(0).to_be_bytes()[2..], &[0; 10]].concat()
}

/// Gives up rows that a walk found, as far as they are still old and there is time.
pub struct Prune {
    /// Of which table.
    pub table: Pruned,
    /// What is old.
    pub before: Before,
    /// For how long the writer may be held. A quarter of it is planned with: a busy machine and the flush want their parts.
    pub hold: Duration,
    /// Whose rows.
    pub keys: Vec<Value>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Done {
    /// Rows that are gone.
    pub rows: u64,
    /// Keys for which there was no time.
    pub left: Vec<Value>,
    /// For how long the writer was held.
    pub took: Duration,
}

impl Command for Prune {
    type Reply = Done;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Done>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for command in batch {
            replies.push(prune(command, tx).await?);
        }
        Ok(replies)
    }
}

async fn prune(command: &Prune, tx: &mut Tx<'_>) -> Result<Done, StoreError> {
    let started = Instant::now();
    let (mut rows, mut left, mut chunk) = (0, command.keys.as_slice(), 1);
    while !left.is_empty() && chunk > 0 {
        let (now, later) = left.split_at(chunk.min(left.len()));
        let begun = started.elapsed();
        rows += delete(command, now, tx).await?;
        left = later;
        let elapsed = started.elapsed();
        chunk = next_chunk(chunk, elapsed - begun, (command.hold / 4).saturating_sub(elapsed));
    }
    Ok(Done { rows, left: left.to_vec(), took: started.elapsed() })
}

/// How many keys come next, after so many took so long: twice as many while that is sure to fit, none when not even one
/// would.
fn next_chunk(last: usize, took: Duration, left: Duration) -> usize {
    let mut next = (last * 2).min(CHUNK);
    let each = took / u32::try_from(last.max(1)).unwrap_or(u32::MAX);
    // What comes next may cost twice as much as what came before.
    while next > 0 && each * u32::try_from(next * 2).unwrap_or(u32::MAX) > left {
        next /= 2;
    }
    next
}

async fn delete(command: &Prune, keys: &[Value], tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let Some(Plan { old, moments, .. }) = plan(command.table, &command.before) else { return Ok(0) };
    let within =
        |head: &str, tail: String| Query::within(head, keys.iter().cloned(), &tail).bind_all(moments.iter().copied());
    match command.table {
        Pruned::Receipts => tx.execute(within("DELETE FROM receipts WHERE key IN", format!("AND {old}"))).await,
        Pruned::Attempts => {
            tx.execute(within("DELETE FROM delivery_attempts WHERE delivery_id IN", "AND ended_ms < ?".to_owned()))
                .await
        }
        Pruned::Bodies => {
            let head = "UPDATE runs SET input = '[]', metadata = '{}', body_pruned = 1 WHERE id IN";
            tx.execute(within(head, format!("AND {old}"))).await
        }
        Pruned::Deliveries => {
            let query = within("SELECT id FROM deliveries WHERE id IN", format!("GROUP BY id HAVING {old}"));
            let ids = keys_of(tx, query).await?;
            forget(tx, "DELETE FROM delivery_attempts WHERE delivery_id IN", &ids).await?;
            forget(tx, "DELETE FROM deliveries WHERE id IN", &ids).await
        }
        Pruned::Runs => {
            let ids = keys_of(tx, within("DELETE FROM runs WHERE id IN", format!("AND {old} RETURNING id"))).await?;
            forget(tx, "DELETE FROM outputs WHERE run_id IN", &ids).await?;
            // The files that only they held are swept as orphans.
            forget(tx, "DELETE FROM asset_refs WHERE run_id IN", &ids).await?;
            Ok(ids.len() as u64)
        }
        Pruned::Sessions => {
            let query = within("DELETE FROM sessions WHERE id IN", format!("AND {old} RETURNING id"));
            let ids = names_of(tx, query).await?;
            forget(tx, "DELETE FROM bindings WHERE session_id IN", &ids).await?;
            forget(tx, "DELETE FROM session_targets WHERE session_id IN", &ids).await?;
            Ok(ids.len() as u64)
        }
    }
}

async fn keys_of(tx: &mut Tx<'_>, query: Query) -> Result<Vec<Value>, StoreError> {
    tx.fetch(query).await?.into_iter().map(|mut row| row.take::<Vec<u8>>().map(Value::from)).collect()
}

async fn names_of(tx: &mut Tx<'_>, query: Query) -> Result<Vec<Value>, StoreError> {
    tx.fetch(query).await?.into_iter().map(|mut row| row.take::<String>().map(Value::from)).collect()
}

async fn forget(tx: &mut Tx<'_>, head: &str, keys: &[Value]) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    tx.execute(Query::within(head, keys.iter().cloned(), "")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_moment_is_its_first() {
        let id = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000, 0));
        let id = id.as_bytes().as_slice();
        assert!(first_key(1_700_000_000_000).as_slice() <= id);
        assert!(first_key(1_700_000_000_001).as_slice() > id);
        assert_eq!(first_key(-5), vec![0; 16]);
    }

    #[test]
    fn a_batch_grows_while_there_is_time_and_ends_before_there_is_none() {
        let ms = Duration::from_millis;
        assert_eq!(next_chunk(4, ms(0), ms(10)), 8);
        assert_eq!(next_chunk(64, ms(1), ms(10)), 64);
        assert_eq!(next_chunk(64, ms(8), ms(2)), 8);
        assert_eq!(next_chunk(1, ms(3), ms(7)), 1);
        assert_eq!(next_chunk(1, ms(4), ms(6)), 0);
        assert_eq!(next_chunk(64, ms(1), ms(0)), 0);
    }

    #[test]
    fn no_price_of_a_row_makes_a_batch_longer_than_its_time() {
        for each in [1, 10, 100, 900, 2_500, 4_999] {
            let (each, hold) = (Duration::from_micros(each), Duration::from_millis(10));
            let (mut elapsed, mut chunk) = (Duration::ZERO, 1);
            while chunk > 0 {
                let took = each * u32::try_from(chunk).unwrap();
                elapsed += took;
                chunk = next_chunk(chunk, took, hold.saturating_sub(elapsed));
            }
            assert!(elapsed <= hold, "{each:?} a row: {elapsed:?}");
        }
    }
}
