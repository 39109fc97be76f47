//! The connector registry: two sources, one table, and changes while the daemon runs.

use kheish_host_tests::host::Host;
use serde_json::{Value, json};

mod delete;
mod file;
mod flow;
mod put;
mod reconcile;
mod references;
mod secrets;

/// The path of an `http` connector.
fn path(name: &str) -> String {
    format!("/v1/runtime/connectors/http/{name}")
}

/// Fields of a connector that makes sessions and takes this token.
fn fields(token: &str) -> Value {
    json!({ "bearer_token": { "value": token }, "session_policy": { "create_if_missing": true } })
}

/// The pointers of everything that a refusal complains of.
fn pointers(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
}

/// Whether a connector takes an event with this token.
async fn takes(host: &Host, name: &str, token: &str, key: &str) -> u16 {
    host.sender(name).bearer(token).say(key, "room", "hello").await.status
}
