//! Assets: files, named by the SHA-256 of their bytes, and which runs hold them.

use std::collections::{HashMap, HashSet};

use super::{
    Store, StoreError, only,
    sql::{Query, portions},
    writer::Tx,
};
use crate::model::{artifact::Artifact, ids::RunId};

/// A file that came with an event, to keep in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAsset {
    /// Lower-case hexadecimal SHA-256 of the bytes.
    pub id: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Lower-case hexadecimal SHA-256 of the bytes.
    pub id: String,
    /// What its first sender called it.
    pub name: Option<String>,
    /// What its first sender said that it is.
    pub media_type: String,
    /// How many bytes it has.
    pub size: i64,
    /// When it was last uploaded, in milliseconds since 1970.
    pub created_ms: i64,
    /// Whether its bytes lie in the folder, and not in its row.
    pub in_folder: bool,
}

/// Which of `ids` exist.
pub async fn existing(tx: &mut Tx<'_>, ids: &[&str]) -> Result<HashSet<String>, StoreError> {
    let mut found = HashSet::new();
    for chunk in portions(ids) {
        for mut row in tx.fetch(Query::within("SELECT id FROM assets WHERE id IN", chunk.iter().copied(), "")).await? {
            found.insert(row.take()?);
        }
    }
    Ok(found)
}

/// What is known of those of `ids` that exist, as files that go out.
pub async fn artifacts(tx: &mut Tx<'_>, ids: &[&str]) -> Result<HashMap<String, Artifact>, StoreError> {
    let mut found = HashMap::new();
    for chunk in portions(ids) {
        let query =
            Query::within("SELECT id, name, media_type, size FROM assets WHERE id IN", chunk.iter().copied(), "");
        for mut row in tx.fetch(query).await? {
            let (asset_id, name): (String, Option<String>) = (row.take()?, row.take()?);
            let (media_type, size) = (row.take()?, u64::try_from(row.take::<i64>()?).unwrap_or(0));
            let name = name.unwrap_or_else(|| asset_id.clone());
            found.insert(asset_id.clone(), Artifact { asset_id, name, media_type, size });
        }
    }
    Ok(found)
}

/// Keeps a file in its row; the same bytes are kept once.
pub async fn insert(tx: &mut Tx<'_>, asset: &NewAsset, now_ms: i64) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO assets (id, media_type, data, size, counted, created_ms) VALUES (?, ?, ?, ?, 1, ?) \
         ON CONFLICT (id) DO NOTHING",
    );
    let size = i64::try_from(asset.data.len()).unwrap_or(i64::MAX);
    let query = query.bind(asset.id.as_str()).bind(asset.media_type.as_str()).bind(asset.data.as_slice());
    let added = tx.execute(query.bind(size).bind(now_ms)).await?;
    if added > 0 { grow_total(tx, size).await } else { Ok(()) }
}

/// Keeps the row of a new file whose bytes lie in the folder.
pub async fn insert_in_folder(tx: &mut Tx<'_>, asset: &Asset) -> Result<(), StoreError> {
    let query = Query::new(
        "INSERT INTO assets (id, name, media_type, data, size, in_folder, counted, created_ms) \
         VALUES (?, ?, ?, ?, ?, 1, 1, ?)",
    );
    let query = query.bind(asset.id.as_str()).bind(asset.name.clone()).bind(asset.media_type.as_str());
    tx.execute(query.bind(&[] as &[u8]).bind(asset.size).bind(asset.created_ms)).await?;
    grow_total(tx, asset.size).await
}

/// A file that is there already has been uploaded again, and is as young as a new one. False where it is not there.
pub async fn renew(tx: &mut Tx<'_>, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    let query = Query::new("UPDATE assets SET created_ms = ? WHERE id = ?").bind(now_ms).bind(id);
    Ok(tx.execute(query).await? > 0)
}

/// Counts bytes that came, or that went.
async fn grow_total(tx: &mut Tx<'_>, bytes: i64) -> Result<(), StoreError> {
    tx.execute(Query::new("UPDATE asset_total SET bytes = bytes + ? WHERE id = 1").bind(bytes)).await.map(drop)
}

/// Bytes of all files together.
pub async fn total(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    only(tx.fetch(Query::new("SELECT bytes FROM asset_total")).await?)?.take()
}

/// Notes that a run holds files, which exist: whoever calls this has looked in the same transaction.
pub async fn refer(tx: &mut Tx<'_>, run: RunId, ids: impl Iterator<Item = &str>) -> Result<(), StoreError> {
    for id in ids {
        let query = Query::new("INSERT INTO asset_refs (asset_id, run_id) VALUES (?, ?) ON CONFLICT DO NOTHING");
        tx.execute(query.bind(id).bind(run)).await?;
    }
    Ok(())
}

/// Whether a run holds a file.
pub async fn is_held(store: &Store, run: RunId, id: &str) -> Result<bool, StoreError> {
    let query = Query::new("SELECT 1 FROM asset_refs WHERE asset_id = ? AND run_id = ?").bind(id).bind(run);
    Ok(!store.read(query).await?.is_empty())
}

/// Up to `most` files that no run holds and that were last uploaded before `before_ms`. A walk over old files, for readers.
pub async fn orphans(store: &Store, before_ms: i64, most: i64) -> Result<Vec<String>, StoreError> {
    let query = Query::new(
        "SELECT id FROM assets WHERE counted = 1 AND created_ms < ? \
         AND NOT EXISTS (SELECT 1 FROM asset_refs WHERE asset_id = assets.id) LIMIT ?",
    );
    let rows = store.read(query.bind(before_ms).bind(most)).await?;
    rows.into_iter().map(|mut row| row.take()).collect()
}

/// Forgets those of `ids` that still no run holds and that were not uploaded again since, and says which.
pub async fn forget_orphans(tx: &mut Tx<'_>, ids: &[String], before_ms: i64) -> Result<Vec<String>, StoreError> {
    let old =
        "AND created_ms < ? AND NOT EXISTS (SELECT 1 FROM asset_refs WHERE asset_id = assets.id) RETURNING id, size";
    let (mut gone, mut bytes) = (Vec::with_capacity(ids.len()), 0);
    for chunk in portions(ids) {
        let query = Query::within("DELETE FROM assets WHERE id IN", chunk.iter().map(String::as_str), old);
        for mut row in tx.fetch(query.bind(before_ms)).await? {
            gone.push(row.take()?);
            bytes += row.take::<i64>()?;
        }
    }
    if bytes > 0 {
        grow_total(tx, -bytes).await?;
    }
    Ok(gone)
}

/// What is known of a file.
pub async fn find(store: &Store, id: &str) -> Result<Option<Asset>, StoreError> {
    let query =
        Query::new("SELECT id, name, media_type, size, created_ms, in_folder FROM assets WHERE id = ?").bind(id);
    let row = store.read(query).await?.into_iter().next();
    row.map(|mut row| {
        Ok(Asset {
            id: row.take()?,
            name: row.take()?,
            media_type: row.take()?,
            size: row.take()?,
            created_ms: row.take()?,
            in_folder: row.take::<i64>()? != 0,
        })
    })
    .transpose()
}

/// Bytes that lie in a file's row.
pub async fn data(store: &Store, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = store.read(Query::new("SELECT data FROM assets WHERE id = ?").bind(id)).await?;
    rows.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Which of `ids` have their bytes in the folder.
pub async fn in_folder(store: &Store, ids: &[String]) -> Result<HashSet<String>, StoreError> {
    let mut found = HashSet::new();
    for chunk in portions(ids) {
        let query =
            Query::within("SELECT id FROM assets WHERE in_folder = 1 AND id IN", chunk.iter().map(String::as_str), "");
        for mut row in store.read(query).await? {
            found.insert(row.take()?);
        }
    }
    Ok(found)
}
