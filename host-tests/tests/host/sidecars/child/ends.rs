//! Whatever ends a child, nothing of it is left: no process, and its port is free.

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    process::signal,
    wait::eventually,
};
use serde_json::json;

use super::builder;

#[tokio::test]
async fn a_deleted_connector_s_whole_family_ends() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "family", &json!({})).await;
    running(&host).await;
    eventually("the family is there", async || (child.processes().len() >= 6).then_some(())).await;
    host.delete(PATH).await.expect(200);
    child.is_gone().await;
}

#[tokio::test]
async fn a_child_that_does_not_listen_is_killed() {
    let (host, child) = (builder("").start().await, Child::new());
    let double = kheish_host_tests::places::beside("sidecar-double");
    let script = format!("trap '' TERM; exec {}", double.display());
    child.put(&host, "", &json!({ "command": "sh", "args": ["-c", script] })).await;
    let first = running(&host).await;
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    process_when(&host, "is another one", |process| process["state"] == "running" && process["pid"] != json!(first))
        .await;
    host.delete(PATH).await.expect(200);
    child.is_gone().await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_leaves_no_child_and_starts_one_again() {
    let (mut host, child) = (builder("").start().await, Child::new());
    child.put(&host, "family", &json!({})).await;
    let first = running(&host).await;
    host.kill();
    child.is_gone().await;
    host.restart().await;
    assert_ne!(running(&host).await, first);
    // At once, while the former family is still about: the port is theirs for a moment.
    host.restart().await;
    running(&host).await;
    eventually("one family is left", async || (child.processes().len() <= 7).then_some(())).await;
    host.terminate().await;
    child.is_gone().await;
}

#[tokio::test]
async fn a_guard_that_is_killed_takes_its_child_along() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let first = running(&host).await;
    let guard = child.processes().into_iter().find(|pid| u64::from(*pid) != first).unwrap();
    signal(guard, "KILL");
    process_when(&host, "is another one", |process| process["state"] == "running" && process["pid"] != json!(first))
        .await;
    assert_eq!(child.processes().len(), 2);
}
