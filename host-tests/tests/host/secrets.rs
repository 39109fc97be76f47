//! Sealed secrets on the real daemon: the key, the store that nobody may touch, new keys under load, and a search for every
//! value that was ever secret.

use std::path::Path;

use kheish::{
    metrics::Metrics,
    store::{
        Store, StoreError, StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};
use kheish_host_tests::host::Host;
use serde_json::{Value, json};

mod rotation;
mod search;
mod start;

/// Fields of a connector that makes sessions and takes this token.
fn fields(token: &str) -> Value {
    json!({
        "bearer_token": { "value": token },
        "session_policy": { "create_if_missing": true },
        "ingress_events_per_second": 100_000,
    })
}

/// Stores a secret.
async fn store(host: &Host, name: &str, value: &str) {
    host.post("/v1/runtime/secrets", &json!({ "slot_id": name, "state": { "value": value } })).await.expect(200);
}

/// Whether a connector takes an event with this token.
async fn takes(host: &Host, name: &str, token: &str, key: &str) -> u16 {
    host.sender(name).bearer(token).say(key, "room", "hello").await.status
}

/// Changes the store of a daemon that does not run.
async fn edit(state: &Path, statement: &'static str) {
    let store = Store::open_sqlite(state, &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
    assert_eq!(store.write(Edit(statement)).await.unwrap(), 1, "{statement}");
    store.close().await;
}

/// What is sealed in the store of a daemon that does not run.
async fn sealed(state: &Path) -> Vec<(String, Vec<u8>)> {
    let store = Store::open_sqlite(state, &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
    let all = "SELECT name, sealed FROM secrets UNION ALL SELECT 'key ' || id, wrapped FROM data_keys ORDER BY 1";
    let rows = store.read(Query::new(all)).await.unwrap();
    let rows = rows.into_iter().map(|mut row| (row.take().unwrap(), row.take().unwrap())).collect();
    store.close().await;
    rows
}

struct Edit(&'static str);

impl Command for Edit {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut changed = Vec::new();
        for Edit(statement) in batch {
            changed.push(tx.execute(Query::new(*statement)).await?);
        }
        Ok(changed)
    }
}
