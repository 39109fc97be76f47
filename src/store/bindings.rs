//! Bindings: further names of a conversation, each bound to one session for good.

use std::collections::HashMap;

use super::{
    StoreError,
    sql::{Query, portions},
    writer::Tx,
};
use crate::model::ids::SessionId;

/// The sessions that these keys are bound to; keys that are free are absent.
pub async fn find_by_keys(tx: &mut Tx<'_>, keys: &[&str]) -> Result<HashMap<String, SessionId>, StoreError> {
    let mut bound = HashMap::new();
    for chunk in portions(keys) {
        let query = Query::within("SELECT key, session_id FROM bindings WHERE key IN", chunk.iter().copied(), "");
        for mut row in tx.fetch(query).await? {
            bound.insert(row.take()?, row.take()?);
        }
    }
    Ok(bound)
}

/// Binds keys that are free.
pub async fn insert(tx: &mut Tx<'_>, bindings: &[(&str, &SessionId)]) -> Result<(), StoreError> {
    for chunk in portions(bindings) {
        let mut query = Query::rows("INSERT INTO bindings (key, session_id) VALUES", 2, chunk.len(), "");
        for (key, session) in chunk {
            query = query.bind(*key).bind(*session);
        }
        tx.execute(query).await?;
    }
    Ok(())
}
