//! Sealed secrets by name. What is in them is for whoever has the key.

use super::{
    Store, StoreError,
    data_keys::WrappedKey,
    sql::{Query, Row},
    writer::Tx,
};
use crate::model::secret::SecretStatus;

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Its name.
    pub name: String,
    /// Which value of it.
    pub version: i64,
    /// The key that sealed it.
    pub key_id: i64,
    /// The sealed value.
    pub sealed: Vec<u8>,
}

/// A secret with the key that opens it, both of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRow {
    /// The secret.
    pub row: SealedRow,
    /// Its key; `None` where the table has no such key.
    pub key: Option<WrappedKey>,
}

const STATUS: &str = "name, version, created_ms, updated_ms";
const KEYED: &str = "SELECT s.name, s.version, s.key_id, s.sealed, k.wrapped \
                     FROM secrets s LEFT JOIN data_keys k ON k.id = s.key_id";

/// A secret.
pub async fn get(store: &Store, name: &str) -> Result<Option<KeyedRow>, StoreError> {
    let query = Query::new(format!("{KEYED} WHERE s.name = ?")).bind(name);
    store.read(query).await?.into_iter().next().map(keyed).transpose()
}

/// Those of these secrets that there are, in no order. So many names must fit into one statement.
pub async fn some(store: &Store, names: &[&str]) -> Result<Vec<KeyedRow>, StoreError> {
    let marks = vec!["?"; names.len()].join(", ");
    let query = Query::new(format!("{KEYED} WHERE s.name IN ({marks})")).bind_all(names.iter().copied());
    store.read(query).await?.into_iter().map(keyed).collect()
}

/// Secrets in the order of their names, from the first after `after`.
pub async fn page(store: &Store, after: &str, limit: i64) -> Result<Vec<KeyedRow>, StoreError> {
    let query = Query::new(format!("{KEYED} WHERE s.name > ? ORDER BY s.name LIMIT ?")).bind(after).bind(limit);
    store.read(query).await?.into_iter().map(keyed).collect()
}

/// What may be said about a secret.
pub async fn status(store: &Store, name: &str) -> Result<Option<SecretStatus>, StoreError> {
    let query = Query::new(format!("SELECT {STATUS} FROM secrets WHERE name = ?")).bind(name);
    store.read(query).await?.into_iter().next().map(read_status).transpose()
}

/// What may be said about every secret, in no order.
pub async fn list(store: &Store) -> Result<Vec<SecretStatus>, StoreError> {
    let query = Query::new(format!("SELECT {STATUS} FROM secrets"));
    store.read(query).await?.into_iter().map(read_status).collect()
}

/// The version of a secret, as the transaction sees it.
pub async fn version(tx: &mut Tx<'_>, name: &str) -> Result<Option<i64>, StoreError> {
    let rows = tx.fetch(Query::new("SELECT version FROM secrets WHERE name = ?").bind(name)).await?;
    rows.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Writes a value as the one after version `row.version - 1`; 0 stands for none. Nothing, and no row changed, where the
/// present version is another.
pub async fn put(tx: &mut Tx<'_>, row: &SealedRow, now_ms: i64) -> Result<Option<SecretStatus>, StoreError> {
    let query = Query::new(format!(
        "INSERT INTO secrets (name, version, key_id, sealed, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, key_id = excluded.key_id, \
         sealed = excluded.sealed, updated_ms = excluded.updated_ms \
         WHERE secrets.version = excluded.version - 1 RETURNING {STATUS}"
    ));
    let query = query.bind(row.name.as_str()).bind(row.version).bind(row.key_id).bind(row.sealed.as_slice());
    tx.fetch(query.bind(now_ms).bind(now_ms)).await?.into_iter().next().map(read_status).transpose()
}

/// Deletes a secret. Says whether there was one.
pub async fn delete(tx: &mut Tx<'_>, name: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(Query::new("DELETE FROM secrets WHERE name = ?").bind(name)).await? > 0)
}

/// Some secrets that a key before `key` sealed.
pub async fn sealed_before(tx: &mut Tx<'_>, key: i64, limit: i64) -> Result<Vec<SealedRow>, StoreError> {
    let query = Query::new("SELECT name, version, key_id, sealed FROM secrets WHERE key_id < ? ORDER BY name LIMIT ?");
    tx.fetch(query.bind(key).bind(limit)).await?.into_iter().map(|mut row| sealed(&mut row)).collect()
}

/// Puts another sealing of the same value in the place of `former`; not where that is no longer there.
pub async fn reseal(tx: &mut Tx<'_>, former: &SealedRow, key: i64, sealed: &[u8]) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE secrets SET key_id = ?, sealed = ? WHERE name = ? AND sealed = ?");
    let query = query.bind(key).bind(sealed).bind(former.name.as_str()).bind(former.sealed.as_slice());
    Ok(tx.execute(query).await? > 0)
}

fn sealed(row: &mut Row) -> Result<SealedRow, StoreError> {
    Ok(SealedRow { name: row.take()?, version: row.take()?, key_id: row.take()?, sealed: row.take()? })
}

fn keyed(mut row: Row) -> Result<KeyedRow, StoreError> {
    let secret = sealed(&mut row)?;
    let wrapped: Option<Vec<u8>> = row.take()?;
    let key = wrapped.map(|wrapped| WrappedKey { id: secret.key_id, wrapped });
    Ok(KeyedRow { row: secret, key })
}

fn read_status(mut row: Row) -> Result<SecretStatus, StoreError> {
    Ok(SecretStatus { name: row.take()?, version: row.take()?, created_ms: row.take()?, updated_ms: row.take()? })
}
