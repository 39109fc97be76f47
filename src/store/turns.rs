//! Which lanes are ready, and whose: statements.
//!
//! Mostly the longest-ready lanes are looked at, all of which may be claimed. Where owners that have their share crowd the
//! head of that index, it says nothing of the others; these are found by going from owner to owner (`lanes_of_owner`), one
//! step for each, however many lanes wait behind it.

use super::{StoreError, sql::Query, writer::Tx};

/// A lane that can be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its id.
    pub id: String,
    /// Whom it leads to.
    pub owner: String,
}

const LONGEST: &str = "SELECT id, owner FROM lanes WHERE state = 1 AND held IS NULL AND ready_at <= ? \
     ORDER BY ready_at, id LIMIT ?";

/// Up to `limit` lanes, the longest-ready first, locked.
pub async fn longest(tx: &mut Tx<'_>, limit: i64, now_ms: i64) -> Result<Vec<Ready>, StoreError> {
    let lock = tx.dialect().for_update();
    let query = Query::new(format!("{LONGEST} {lock}")).bind(now_ms).bind(limit);
    tx.fetch(query).await?.into_iter().map(|mut row| Ok(Ready { id: row.take()?, owner: row.take()? })).collect()
}

const FIRST: &str = "SELECT id, owner FROM lanes WHERE state = 1 AND held IS NULL AND owner = ? AND ready_at <= ? \
     ORDER BY ready_at, id LIMIT 1";

/// The longest-ready lane of an owner, locked.
pub async fn first_of(tx: &mut Tx<'_>, owner: &str, now_ms: i64) -> Result<Option<Ready>, StoreError> {
    let lock = tx.dialect().for_update();
    let query = Query::new(format!("{FIRST} {lock}")).bind(owner).bind(now_ms);
    let row = tx.fetch(query).await?.into_iter().next();
    row.map(|mut row| Ok(Ready { id: row.take()?, owner: row.take()? })).transpose()
}

const ROUND: &str = "WITH RECURSIVE turns (owner, number) AS (\
     SELECT MIN(owner), 1 FROM lanes WHERE state = 1 AND held IS NULL AND owner > ? UNION ALL \
     SELECT (SELECT MIN(lanes.owner) FROM lanes WHERE state = 1 AND held IS NULL AND lanes.owner > turns.owner), number + 1 \
     FROM turns WHERE turns.owner IS NOT NULL AND number < ?) \
     SELECT owner, (SELECT id FROM lanes WHERE state = 1 AND held IS NULL AND lanes.owner = turns.owner AND ready_at <= ? \
     ORDER BY ready_at, id LIMIT 1) FROM turns WHERE owner IS NOT NULL ORDER BY number";

/// Owners with lanes that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The longest-ready lane of each that has one, in the order of owners. Not locked: see [`lock`].
    pub ready: Vec<Ready>,
    /// The last owner that was looked at; none when there are none behind it.
    pub last: Option<String>,
}

/// Looks at the next owners after this one, so many at most.
pub async fn round(tx: &mut Tx<'_>, after: &str, most: i64, now_ms: i64) -> Result<Round, StoreError> {
    let rows = tx.fetch(Query::new(ROUND).bind(after).bind(most).bind(now_ms)).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|looked| looked == most);
    let (mut ready, mut last) = (Vec::new(), None);
    for mut row in rows {
        let (owner, id): (String, Option<String>) = (row.take()?, row.take()?);
        last = Some(owner.clone());
        ready.extend(id.map(|id| Ready { id, owner }));
    }
    Ok(Round { ready, last: last.filter(|_| more) })
}

/// Locks lanes that were looked at, and says which of them are still ready. Where there is one writer all are.
pub async fn lock(tx: &mut Tx<'_>, lanes: Vec<Ready>) -> Result<Vec<Ready>, StoreError> {
    let lock = tx.dialect().for_update();
    if lanes.is_empty() || lock.is_empty() {
        return Ok(lanes);
    }
    let head = "SELECT id, owner FROM lanes WHERE state = 1 AND held IS NULL AND id IN";
    let query = Query::within(head, lanes.iter().map(|lane| lane.id.as_str()), lock);
    tx.fetch(query).await?.into_iter().map(|mut row| Ok(Ready { id: row.take()?, owner: row.take()? })).collect()
}

/// Has a lane that is ready wait until then.
pub async fn put_off(tx: &mut Tx<'_>, lane: &str, ready_ms: i64) -> Result<(), StoreError> {
    let query = Query::new("UPDATE lanes SET ready_at = ? WHERE id = ? AND state = 1");
    tx.execute(query.bind(ready_ms).bind(lane)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::Metrics,
        store::{Store, StoreSettings},
    };

    #[tokio::test]
    async fn claims_read_indexes_and_only_what_they_want_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        for (text, index) in [(LONGEST, "lanes_ready"), (FIRST, "lanes_of_owner"), (ROUND, "lanes_of_owner")] {
            let plan = store.read(Query::new(format!("EXPLAIN QUERY PLAN {text}"))).await.unwrap();
            let mut looks = 0;
            for mut row in plan {
                let _place: (i64, i64, i64) = (row.take().unwrap(), row.take().unwrap(), row.take().unwrap());
                let step: String = row.take().unwrap();
                if step.contains("lanes") {
                    looks += 1;
                    assert!(step.starts_with(&format!("SEARCH lanes USING COVERING INDEX {index}")), "{text}: {step}");
                }
            }
            assert!(looks > 0, "{text}");
        }
        store.close().await;
    }
}
