//! Connectors that the API made: statements. What a definition means is the registry's.

use super::{Store, StoreError, sql::Query, writer::Tx};
use crate::model::ids::ConnectorId;

/// A connector as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConnector {
    /// Kind and name.
    pub id: ConnectorId,
    /// Grows with each change.
    pub revision: i64,
    /// Its fields, as the text of a JSON object. Secrets are named in it, never written.
    pub definition: String,
}

/// All of them, in the order of kind and name.
pub async fn all(store: &Store) -> Result<Vec<StoredConnector>, StoreError> {
    let query = Query::new("SELECT kind, name, revision, definition FROM connectors ORDER BY kind, name");
    let rows = store.read(query).await?;
    rows.into_iter()
        .map(|mut row| {
            let id = ConnectorId { kind: row.take()?, name: row.take()? };
            Ok(StoredConnector { id, revision: row.take()?, definition: row.take()? })
        })
        .collect()
}

/// Writes a connector, new or changed.
pub async fn save(tx: &mut Tx<'_>, connector: &StoredConnector, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO connectors (kind, name, revision, definition, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, definition = excluded.definition, \
         updated_ms = excluded.updated_ms",
    );
    let query = query
        .bind(connector.id.kind.as_str())
        .bind(connector.id.name.as_str())
        .bind(connector.revision)
        .bind(connector.definition.as_str())
        .bind(now_ms)
        .bind(now_ms);
    tx.execute(query).await.map(drop)
}

/// Forgets a connector.
pub async fn delete(tx: &mut Tx<'_>, id: &ConnectorId) -> Result<(), StoreError> {
    let query = Query::new("DELETE FROM connectors WHERE kind = ? AND name = ?");
    tx.execute(query.bind(id.kind.as_str()).bind(id.name.as_str())).await.map(drop)
}
