//! The examples of sidecars: their own tests, and each with the real daemon that starts it.

mod email;
mod github;

use std::{path::PathBuf, process::Stdio};

use kheish_host_tests::{host::Host, places, sidecar::TOKEN};
use serde_json::{Value, json};
use tokio::process::Command;

/// Short waits, so that a child that ended is there again soon.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.connectors]\ninitial_ms = 50\nmax_ms = 200\nmax_attempts = 50\n\
                     [sidecars]\nhealth_interval_ms = 200\nhealth_retry_ms = 50\n";

fn folder(example: &str) -> PathBuf {
    places::repository().join("examples").join(example)
}

/// Runs the tests that an example has of its own.
async fn own_tests(example: &str, command: &[&str]) {
    let mut tests = Command::new(command[0]);
    tests.args(&command[1..]).current_dir(folder(example)).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = tests.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let ended = ended.unwrap_or_else(|error| panic!("{command:?}: {error}: run `just tools` first"));
    let said = [ended.stdout, ended.stderr].map(|output| String::from_utf8_lossy(&output).into_owned()).concat();
    assert!(ended.status.success(), "{command:?} in {example} ended with {}:\n{said}", ended.status);
}

#[tokio::test]
async fn the_tests_of_the_python_example_pass() {
    own_tests("sidecar-python", &["python3", "-W", "error::ResourceWarning", "-m", "unittest"]).await;
}

#[tokio::test]
async fn the_tests_of_the_node_example_pass() {
    own_tests("sidecar-node", &["node", "--test"]).await;
}

/// Stores a secret that children may be given.
async fn store(host: &Host, name: &str, value: &str) {
    let body = json!({ "slot_id": name, "state": { "value": value } });
    host.post("/v1/runtime/secrets", &body).await.expect(200);
}

/// Makes a connector whose sidecar the daemon starts.
async fn put_child(host: &Host, name: &str, port: u16, child: &Value) {
    let fields = json!({
        "platform": name, "mode": "child_process", "base_url": format!("http://127.0.0.1:{port}"),
        "shared_token": { "value": TOKEN }, "session_policy": { "create_if_missing": true }, "child_process": child,
    });
    host.put(&format!("/v1/runtime/connectors/external/{name}"), &fields).await.expect(201);
}
