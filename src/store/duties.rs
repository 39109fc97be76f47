//! Duties: statements. There is a row for each thing that exactly one of several daemons does, as long as somebody has it.
//!
//! A row goes when its owner lets go, or with the next process of its owner's family. It does not go with the connector that it is
//! about: whoever has it may still be ending what it did, and nobody else may begin before.

use std::collections::HashSet;

use super::{
    StoreError,
    sql::{Query, portions},
    writer::Tx,
};

/// A duty as somebody has taken it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Duty {
    /// What is to be done.
    pub name: String,
    /// Who took it; no two processes have the same name.
    pub owner: String,
    /// The fence: the owner never takes anything under the same one again.
    pub epoch: i64,
}

/// Takes a duty that nobody has, whose lease is over, or that is the owner's own. False when somebody else has it.
pub async fn take(tx: &mut Tx<'_>, duty: &Duty, (now_ms, until_ms): (i64, i64)) -> Result<bool, StoreError> {
    let query = Query::new(
        "INSERT INTO duties (name, owner, epoch, until_ms) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
         owner = excluded.owner, epoch = excluded.epoch, until_ms = excluded.until_ms \
         WHERE duties.until_ms <= ? OR duties.owner = excluded.owner",
    );
    Ok(tx.execute(of(query, duty).bind(until_ms).bind(now_ms)).await? == 1)
}

/// Forgets what former processes of the family had: they are gone.
pub async fn forget(tx: &mut Tx<'_>, family: &str, me: &str) -> Result<u64, StoreError> {
    let query = Query::new("DELETE FROM duties WHERE owner LIKE ? AND owner <> ?");
    tx.execute(query.bind(format!("{family}%")).bind(me)).await
}

/// Moves the end of the leases of duties, and says which are still had.
pub async fn renew(tx: &mut Tx<'_>, held: &HashSet<Duty>, until_ms: i64) -> Result<HashSet<Duty>, StoreError> {
    let held: Vec<&Duty> = held.iter().collect();
    let mut kept = HashSet::with_capacity(held.len());
    for chunk in portions(&held) {
        let mine = vec!["name = ? AND owner = ? AND epoch = ?"; chunk.len()].join(" OR ");
        let update = format!("UPDATE duties SET until_ms = ? WHERE {mine} RETURNING name, owner, epoch");
        let query = chunk.iter().fold(Query::new(update).bind(until_ms), |query, duty| of(query, duty));
        for mut row in tx.fetch(query).await? {
            kept.insert(Duty { name: row.take()?, owner: row.take()?, epoch: row.take()? });
        }
    }
    Ok(kept)
}

/// Whether the owner still has it, and has it until the transaction ends: the row is locked by a change that is none.
pub async fn is_held(tx: &mut Tx<'_>, duty: &Duty) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE duties SET until_ms = until_ms WHERE name = ? AND owner = ? AND epoch = ?");
    Ok(tx.execute(of(query, duty)).await? == 1)
}

/// Lets go of a duty, unless somebody else has taken it.
pub async fn release(tx: &mut Tx<'_>, duty: &Duty) -> Result<(), StoreError> {
    let query = Query::new("DELETE FROM duties WHERE name = ? AND owner = ? AND epoch = ?");
    tx.execute(of(query, duty)).await.map(drop)
}

fn of(query: Query, duty: &Duty) -> Query {
    query.bind(duty.name.as_str()).bind(duty.owner.as_str()).bind(duty.epoch)
}
