//! Secrets at rest: the master key, its replacement, and that no value is found anywhere.

mod cut;
mod rest;
mod rotation;
mod search;
mod start;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use kheish_host_tests::{client::Answer, host::Host};
use serde_json::{Value, json};

const VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY";
const FILE_VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY_FILE";
const ROTATE: &str = "/v1/runtime/secret-keys/rotate";

/// The master key's file.
fn key_file(host: &Host) -> PathBuf {
    host.state_folder().join("master.key")
}

fn key_text(host: &Host) -> String {
    fs::read_to_string(key_file(host)).unwrap()
}

/// Stores a secret of this name.
async fn store(host: &Host, name: &str, value: &str) -> Answer {
    let body = json!({ "slot_id": name, "state": { "value": value } });
    host.post("/v1/runtime/secrets", &body).await.expect(200)
}

/// A connector that makes sessions, whose callers show one secret and sign with another.
fn guarded(bearer: &Value, hmac: &Value) -> Value {
    json!({
        "bearer_token": bearer,
        "hmac_secret": hmac,
        "session_policy": { "create_if_missing": true },
        "ingress_events_per_second": 100_000,
    })
}

/// An event that is like no other.
fn event() -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    json!({ "idempotency_key": format!("k{number}"), "binding_keys": ["room"], "content": "hello" })
}

/// Fails unless the names in the state folder that begin with `master.key` are these.
#[track_caller]
fn key_files_are(host: &Host, names: &[&str]) {
    let entries = fs::read_dir(host.state_folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let all = entries.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with("master.key"));
    assert_eq!(all.collect::<BTreeSet<_>>(), names.iter().map(|name| (*name).to_owned()).collect());
}
