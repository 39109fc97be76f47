//! Durable state of connectors: small values by connector and key.

use super::{Store, StoreError, sql::Query, writer::Tx};

/// The committed value.
pub async fn get(store: &Store, connector: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let query = Query::new("SELECT value FROM key_values WHERE connector = ? AND key = ?").bind(connector).bind(key);
    store.read(query).await?.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Stores a value.
pub async fn set(tx: &mut Tx<'_>, connector: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO key_values (connector, key, value) VALUES (?, ?, ?) \
         ON CONFLICT (connector, key) DO UPDATE SET value = excluded.value",
    );
    tx.execute(query.bind(connector).bind(key).bind(value)).await.map(drop)
}

/// Forgets a key.
pub async fn delete(tx: &mut Tx<'_>, connector: &str, key: &str) -> Result<(), StoreError> {
    let query = Query::new("DELETE FROM key_values WHERE connector = ? AND key = ?");
    tx.execute(query.bind(connector).bind(key)).await.map(drop)
}

/// Forgets everything of a connector.
pub async fn delete_all(tx: &mut Tx<'_>, connector: &str) -> Result<(), StoreError> {
    tx.execute(Query::new("DELETE FROM key_values WHERE connector = ?").bind(connector)).await.map(drop)
}
