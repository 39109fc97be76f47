//! Whatever ends a child, nothing of it is left: no process, and its port is free.

use kheish_host_tests::{
    child::{Child, PATH, running},
    host::Host,
    process::signal,
    sidecar::{event_with, send},
    wait::eventually,
};
use serde_json::json;

use super::{another, builder, guard, patient};
use crate::duties;

#[tokio::test]
async fn a_deleted_connector_s_whole_family_ends() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "family", &json!({})).await;
    running(&host).await;
    eventually("the family is there", async || (child.processes().len() >= 6).then_some(())).await;
    host.delete(PATH).await.expect(200);
    child.is_gone().await;
    eventually("its duty is forgotten", async || (duties::held(&host).await == 0).then_some(())).await;
}

/// Makes the connector of one that does not listen.
async fn put_stubborn(host: &Host, child: &Child) {
    let double = kheish_host_tests::places::beside("sidecar-double");
    let script = format!("trap '' TERM; exec {}", double.display());
    child.put(host, "", &json!({ "command": "sh", "args": ["-c", script] })).await;
}

#[tokio::test]
async fn a_child_that_does_not_listen_is_killed() {
    let (host, child) = (builder("").start().await, Child::new());
    put_stubborn(&host, &child).await;
    let first = running(&host).await;
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    another(&host, first).await;
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
async fn a_daemon_that_is_asked_to_stop_outlives_a_child_that_does_not_listen() {
    let settings = "[server]\nshutdown_grace_ms = 2300\n";
    let (mut host, child) = (builder(settings).start().await, Child::new());
    put_stubborn(&host, &child).await;
    let first = running(&host).await;
    let instance = host.get(PATH).await.expect(200).json["status"]["health"]["instance_id"].clone();
    let event = event_with("e-1", &json!({ "instance_id": instance }));
    let run = send(&host, "bridge", &event).await.expect(200).text("/run_id").to_owned();
    let ended = host.terminate().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("shutdown_grace_ms"), "it did not end in order: {}", ended.stderr);
    assert_eq!(child.processes(), Vec::<u32>::new());
    let audit = std::fs::read_to_string(host.state_folder().join("control-plane-auth/audit.jsonl")).unwrap();
    let revoked = audit.lines().filter(|row| row.contains("credential_revoked") && row.contains("stopped"));
    assert_eq!(revoked.count(), 1, "{audit}");
    assert_eq!(duties::held(&host).await, 0, "the next daemon would have to wait");
    host.restart().await;
    assert_ne!(running(&host).await, first);
    host.deliveries_when(&run, 1, "delivered").await;
}

#[tokio::test]
async fn a_guard_that_is_killed_takes_its_child_along() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let first = running(&host).await;
    signal(guard(&child, first), "KILL");
    another(&host, first).await;
    assert_eq!(child.processes().len(), 2);
}

#[tokio::test]
async fn a_program_ends_with_its_guard_also_when_nobody_else_is_left() {
    let (mut host, child) = (patient("").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    let guard = guard(&child, running(&host).await);
    // So that the guard cannot do anything about the end of the daemon.
    signal(guard, "STOP");
    host.kill();
    signal(guard, "KILL");
    child.is_gone().await;
}

#[tokio::test]
async fn nothing_that_is_open_is_handed_on() {
    let (host, child) = (builder("").start().await, Child::new());
    let double = kheish_host_tests::places::beside("sidecar-double");
    let script = format!("sleep 600 & exec {}", double.display());
    child.put(&host, "", &json!({ "command": "sh", "args": ["-c", script] })).await;
    let pid = running(&host).await;
    let guard = guard(&child, pid);
    let other = child.processes().into_iter().find(|other| *other != guard && u64::from(*other) != pid).unwrap();
    // What the test was started with is the daemon's to have, and nobody's to close.
    let ours = open_at(std::process::id());
    let own = |pid| {
        let ours = ours.clone();
        let standard = |number: &str| ["0", "1", "2"].contains(&number);
        open_at(pid).into_iter().filter(move |open| standard(&open.0) || !ours.contains(open))
    };
    let numbers: Vec<String> = own(other).map(|(number, _)| number).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    assert_eq!(open_at(other)[0].1, "/dev/null");
    let daemon: Vec<String> = open_at(host.process_id()).into_iter().map(|(_, what)| what).collect();
    for (number, what) in own(guard) {
        let is_its_own = what.starts_with("socket:") && !daemon.contains(&what) || what.starts_with("anon_inode:");
        assert!(is_its_own || what.starts_with("pipe:") && ["1", "2"].contains(&number.as_str()), "{number}: {what}");
    }
}

/// What a process has open, by its number, and what that leads to.
fn open_at(pid: u32) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut all: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let what = std::fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_string_lossy().into_owned(), what.to_string_lossy().into_owned()))
        })
        .collect();
    all.sort();
    all
}
