//! What a child may use of the machine.

use std::{
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Command,
};

use kheish_host_tests::{
    child::{Child, running},
    places,
};
use serde_json::json;

use super::builder;

#[tokio::test]
async fn a_child_has_its_memory_its_files_and_its_niceness() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({ "memory_bytes": 512 << 20, "open_files": 64, "nice": 7 })).await;
    let pid = running(&host).await;
    assert_eq!(child.told("memory/").await, false);
    let files = child.told("files/").await;
    assert!(files.as_u64().is_some_and(|files| files > 16 && files < 64), "{files}");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let nice = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(16));
    assert_eq!(nice, Some("7"), "{stat}");
}

#[tokio::test]
async fn bounds_that_are_none_are_refused() {
    let (host, child) = (builder("").start().await, Child::new());
    for (members, pointer) in [
        (json!({ "nice": -1 }), "/child_process/nice"),
        (json!({ "open_files": 0 }), "/child_process/open_files"),
        (json!({ "memory_bytes": "much" }), "/child_process/memory_bytes"),
        (
            json!({ "env": { "KHEISH_EXTERNAL_CONNECTOR_NAME": "x" } }),
            "/child_process/env/KHEISH_EXTERNAL_CONNECTOR_NAME",
        ),
    ] {
        let refused = host.put(kheish_host_tests::child::PATH, &child.fields("", &members)).await;
        refused.problem(400, "connectors", "invalid_connector");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.json);
    }
    let mut elsewhere = child.fields("", &json!({}));
    for base in ["http://127.0.0.1", "http://10.0.0.1:9000", "http://127.0.0.1:9000/base"] {
        elsewhere["base_url"] = json!(base);
        let refused = host.put(kheish_host_tests::child::PATH, &elsewhere).await;
        assert_eq!(refused.expect(400).text("/errors/0/pointer"), "/base_url");
    }
}

#[test]
fn a_bound_that_cannot_be_set_starts_nothing() {
    let (mut daemon, its) = UnixStream::pair().unwrap();
    let mut guard = Command::new(places::binary());
    guard.args(["guard", "--open-files", "1099511627776", "--", "sleep", "600"]).stdin(OwnedFd::from(its));
    let mut running = guard.spawn().unwrap();
    drop(guard);
    let mut told = String::new();
    daemon.read_to_string(&mut told).unwrap();
    assert!(told.contains("\"failed\"") && told.contains("open_files = 1099511627776"), "{told}");
    assert!(running.wait().unwrap().success());
}
