//! Assets: files that came with events, named by the SHA-256 of their bytes.

use std::collections::HashSet;

use super::{Store, StoreError, sql::Query, writer::Tx};

/// A file to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAsset {
    /// Lower-case hexadecimal SHA-256 of the bytes.
    pub id: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Which of `ids` exist.
pub async fn existing(tx: &mut Tx<'_>, ids: &[&str]) -> Result<HashSet<String>, StoreError> {
    let mut found = HashSet::new();
    for chunk in ids.chunks(64) {
        for mut row in tx.fetch(Query::within("SELECT id FROM assets WHERE id IN", chunk.iter().copied(), "")).await? {
            found.insert(row.take()?);
        }
    }
    Ok(found)
}

/// Keeps a file; the same bytes are kept once.
pub async fn insert(tx: &mut Tx<'_>, asset: &NewAsset, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO assets (id, media_type, data, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    );
    let query = query.bind(asset.id.as_str()).bind(asset.media_type.as_str()).bind(asset.data.as_slice()).bind(now_ms);
    tx.execute(query).await.map(drop)
}

/// A file's media type and bytes.
pub async fn get(store: &Store, id: &str) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    let rows = store.read(Query::new("SELECT media_type, data FROM assets WHERE id = ?").bind(id)).await?;
    rows.into_iter().next().map(|mut row| Ok((row.take()?, row.take()?))).transpose()
}
