//! Duties: statements. There is a row for each thing that exactly one of several daemons does.

use super::{StoreError, sql::Query, writer::Tx};

/// A duty as somebody has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// What is to be done.
    pub name: String,
    /// Who took it.
    pub owner: String,
    /// How often it was taken, this time included.
    pub epoch: i64,
}

/// Takes a duty that is free, is over, is the owner's own, or was left behind by an owner whose name begins with `family`. None
/// when somebody else has it.
pub async fn take(
    tx: &mut Tx<'_>,
    name: &str,
    (owner, family): (&str, &str),
    (now_ms, until_ms): (i64, i64),
) -> Result<Option<Duty>, StoreError> {
    let query = Query::new(
        "INSERT INTO duties (name, owner, epoch, until_ms) VALUES (?, ?, 1, ?) ON CONFLICT (name) DO UPDATE SET \
         owner = excluded.owner, epoch = duties.epoch + 1, until_ms = excluded.until_ms \
         WHERE duties.until_ms <= ? OR duties.owner = excluded.owner OR duties.owner LIKE ? RETURNING epoch",
    );
    let query = query.bind(name).bind(owner).bind(until_ms).bind(now_ms).bind(format!("{family}%"));
    let Some(mut row) = tx.fetch(query).await?.into_iter().next() else { return Ok(None) };
    Ok(Some(Duty { name: name.to_owned(), owner: owner.to_owned(), epoch: row.take()? }))
}

/// Moves the end of a lease. False when somebody else has taken the duty.
pub async fn renew(tx: &mut Tx<'_>, duty: &Duty, until_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE duties SET until_ms = ? WHERE name = ? AND owner = ? AND epoch = ?").bind(until_ms);
    Ok(tx.execute(of(query, duty)).await? == 1)
}

/// Whether nobody has taken the duty since, nor does until the transaction ends: the row is locked by a change that is none.
pub async fn is_held(tx: &mut Tx<'_>, duty: &Duty) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE duties SET until_ms = until_ms WHERE name = ? AND owner = ? AND epoch = ?");
    Ok(tx.execute(of(query, duty)).await? == 1)
}

/// Makes a duty free, unless somebody else has taken it.
pub async fn release(tx: &mut Tx<'_>, duty: &Duty) -> Result<(), StoreError> {
    let query = Query::new("UPDATE duties SET until_ms = 0 WHERE name = ? AND owner = ? AND epoch = ?");
    tx.execute(of(query, duty)).await.map(drop)
}

fn of(query: Query, duty: &Duty) -> Query {
    query.bind(duty.name.as_str()).bind(duty.owner.as_str()).bind(duty.epoch)
}
