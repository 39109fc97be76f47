//! Executors by name: who performs which session's runs.

mod choice;
mod files;
mod push;

use kheish_host_tests::host::Host;
use serde_json::{Value, json};

/// Makes a session of an executor.
async fn make(host: &Host, session: &str, executor: &str) -> Value {
    let body = json!({ "session_id": session, "executor": executor });
    host.post("/v1/sessions", &body).await.expect(201).json
}

/// Submits a text and returns its run.
async fn say(host: &Host, session: &str, text: &str) -> String {
    host.submit(session, &json!({ "content": text })).await.expect(202).text("/run_id").to_owned()
}
