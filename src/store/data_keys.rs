//! Keys that seal secrets, as the master key wrapped them.

use super::{
    Store, StoreError,
    sql::{Query, Row},
    writer::Tx,
};

/// How often the latest key is looked for: the one that was waited for may have been deleted for a later one.
const LOOKS: u32 = 3;

/// A wrapped key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Later keys have greater ids; the greatest seals what is written.
    pub id: i64,
    /// Its bytes.
    pub wrapped: Vec<u8>,
}

/// Every key, the latest last.
pub async fn all(store: &Store) -> Result<Vec<WrappedKey>, StoreError> {
    let rows = store.read(Query::new("SELECT id, wrapped FROM data_keys ORDER BY id")).await?;
    rows.into_iter().map(read).collect()
}

/// Every key, the latest last, as the transaction sees them; nobody takes one away before it ends.
pub async fn hold_all(tx: &mut Tx<'_>) -> Result<Vec<WrappedKey>, StoreError> {
    let lock = tx.dialect().for_update_in_turn();
    let rows = tx.fetch(Query::new(format!("SELECT id, wrapped FROM data_keys ORDER BY id {lock}"))).await?;
    rows.into_iter().map(read).collect()
}

/// The latest key; nobody takes it away before the transaction ends.
pub async fn hold_latest(tx: &mut Tx<'_>) -> Result<Option<WrappedKey>, StoreError> {
    let lock = tx.dialect().for_update_in_turn();
    for _ in 0..LOOKS {
        let query = Query::new(format!("SELECT id, wrapped FROM data_keys ORDER BY id DESC LIMIT 1 {lock}"));
        if let Some(row) = tx.fetch(query).await?.into_iter().next() {
            return read(row).map(Some);
        }
    }
    Ok(None)
}

/// Adds a key. False when another daemon took the id first; nothing was added then.
pub async fn insert(tx: &mut Tx<'_>, key: &WrappedKey, now_ms: i64) -> Result<bool, StoreError> {
    let query =
        Query::new("INSERT INTO data_keys (id, wrapped, created_ms) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING");
    Ok(tx.execute(query.bind(key.id).bind(key.wrapped.as_slice()).bind(now_ms)).await? == 1)
}

/// Puts another wrapping of the same key in the place of the present one.
pub async fn rewrap(tx: &mut Tx<'_>, key: &WrappedKey) -> Result<(), StoreError> {
    let query = Query::new("UPDATE data_keys SET wrapped = ? WHERE id = ?");
    tx.execute(query.bind(key.wrapped.as_slice()).bind(key.id)).await.map(drop)
}

/// Deletes keys before `latest` that seal nothing. Says how many of those before it are left.
pub async fn delete_unused(tx: &mut Tx<'_>, latest: i64) -> Result<u64, StoreError> {
    // Locked by a statement of its own: the next one then sees what those wrote who held them.
    let lock = tx.dialect().for_update_in_turn();
    let query = Query::new(format!("SELECT id FROM data_keys WHERE id < ? ORDER BY id {lock}"));
    let former = tx.fetch(query.bind(latest)).await?.len() as u64;
    let unused = "DELETE FROM data_keys WHERE id < ? AND id NOT IN (SELECT key_id FROM secrets)";
    Ok(former - tx.execute(Query::new(unused).bind(latest)).await?)
}

fn read(mut row: Row) -> Result<WrappedKey, StoreError> {
    Ok(WrappedKey { id: row.take()?, wrapped: row.take()? })
}
