//! Outputs: statements. Rows carry the epoch of the attempt that said them; those of a lost attempt stay unread.

use serde_json::json;

use super::{
    Store, StoreError, only,
    runs::Fence,
    sql::{Query, portions},
    writer::Tx,
};
use crate::model::{artifact::Artifact, run::Run};

/// An output as stored.
#[derive(Clone, Debug)]
pub struct StoredOutput {
    /// Its place among the run's outputs, from 0.
    pub ordinal: i64,
    /// What was said.
    pub content: String,
    /// The files that go out with it.
    pub artifacts: Vec<Artifact>,
    /// When.
    pub created_ms: i64,
}

/// How many outputs this attempt has said.
pub async fn count(tx: &mut Tx<'_>, fence: Fence) -> Result<i64, StoreError> {
    let query = Query::new("SELECT COUNT(*) FROM outputs WHERE run_id = ? AND epoch = ?");
    only(tx.fetch(query.bind(fence.run).bind(fence.epoch)).await?)?.take()
}

/// An output to store.
#[derive(Clone, Debug)]
pub struct NewOutput<'a> {
    /// What was said.
    pub content: &'a str,
    /// The files that go out with it, which exist.
    pub artifacts: Vec<Artifact>,
}

/// Adds outputs behind the `said` ones that this attempt has.
pub async fn append(
    tx: &mut Tx<'_>,
    fence: Fence,
    said: i64,
    outputs: &[NewOutput<'_>],
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut ordinals = said..;
    for chunk in portions(outputs) {
        let insert = "INSERT INTO outputs (run_id, epoch, ordinal, content, artifacts, created_ms) VALUES";
        let mut query = Query::rows(insert, 6, chunk.len(), "");
        for (output, ordinal) in chunk.iter().zip(&mut ordinals) {
            let artifacts = json!(output.artifacts).to_string();
            query = query.bind(fence.run).bind(fence.epoch).bind(ordinal).bind(output.content);
            query = query.bind(artifacts.as_str()).bind(now_ms);
        }
        tx.execute(query).await?;
    }
    Ok(())
}

/// What this attempt has said, with the files that go out beside it as a JSON array, in order.
pub async fn said(tx: &mut Tx<'_>, fence: Fence) -> Result<Vec<(String, String)>, StoreError> {
    let query = Query::new("SELECT content, artifacts FROM outputs WHERE run_id = ? AND epoch = ? ORDER BY ordinal");
    let rows = tx.fetch(query.bind(fence.run).bind(fence.epoch)).await?;
    rows.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

/// A run's outputs: those of its last attempt.
pub async fn of_run(store: &Store, run: &Run) -> Result<Vec<StoredOutput>, StoreError> {
    let query = Query::new(
        "SELECT ordinal, content, artifacts, created_ms FROM outputs WHERE run_id = ? AND epoch = ? ORDER BY ordinal",
    );
    let rows = store.read(query.bind(run.id).bind(run.epoch)).await?;
    rows.into_iter()
        .map(|mut row| {
            let (ordinal, content, artifacts) = (row.take()?, row.take()?, row.take::<String>()?);
            let artifacts = serde_json::from_str(&artifacts)
                .map_err(|_| StoreError::Damaged("the files of an output cannot be read"))?;
            Ok(StoredOutput { ordinal, content, artifacts, created_ms: row.take()? })
        })
        .collect()
}
