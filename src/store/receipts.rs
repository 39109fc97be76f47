//! Receipts: the durable record that an event was accepted.

use std::collections::HashMap;

use super::{
    StoreError,
    sql::{Query, portions},
    writer::Tx,
};
use crate::model::ids::RunId;

/// What tells one event from another: the first 16 bytes of SHA-256 over its source and key.
pub type ReceiptKey = [u8; 16];

/// A receipt as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// SHA-256 of the event's fingerprint.
    pub fingerprint: Vec<u8>,
    /// The run that was made of it.
    pub run: RunId,
}

/// A receipt to write.
#[derive(Clone, Copy, Debug)]
pub struct NewReceipt {
    /// Its key.
    pub key: ReceiptKey,
    /// SHA-256 of the event's fingerprint.
    pub fingerprint: [u8; 32],
    /// The run that is made of it.
    pub run: RunId,
}

const FIND: &str = "SELECT key, fingerprint, run_id FROM receipts WHERE key IN";

/// The receipts among `keys`, in the writer's view.
pub async fn find_by_keys(tx: &mut Tx<'_>, keys: &[ReceiptKey]) -> Result<HashMap<Vec<u8>, Receipt>, StoreError> {
    let mut found = HashMap::new();
    for chunk in portions(keys) {
        for mut row in tx.fetch(Query::within(FIND, chunk.iter().map(<[u8; 16]>::as_slice), "")).await? {
            found.insert(row.take()?, Receipt { fingerprint: row.take()?, run: row.take()? });
        }
    }
    Ok(found)
}

/// Writes receipts. Fails where one of the keys exists.
pub async fn insert(tx: &mut Tx<'_>, receipts: &[NewReceipt], now_ms: i64) -> Result<(), StoreError> {
    for chunk in portions(receipts) {
        let insert = tx.dialect().insert_many();
        let head = format!("{insert} receipts (key, fingerprint, run_id, accepted_ms) VALUES");
        let mut query = Query::rows(&head, 4, chunk.len(), "");
        for receipt in chunk {
            query =
                query.bind(receipt.key.as_slice()).bind(receipt.fingerprint.as_slice()).bind(receipt.run).bind(now_ms);
        }
        tx.execute(query).await?;
    }
    Ok(())
}
