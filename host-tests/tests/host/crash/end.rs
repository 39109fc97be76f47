//! Orderly ends, and a second daemon that must not start.

use std::{fs, os::unix::fs::PermissionsExt};

use kheish_host_tests::{
    connectors::Http,
    host::Host,
    receiver::{Gate, Receiver, Reply},
};
use serde_json::json;

use super::{builder, submit};

#[tokio::test]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let host = builder().start().await;
    let run = submit(&host, "s", &[]).await;
    let twin = host.twin().await;
    assert!(twin.code.is_some_and(|code| code != 0), "{twin:?}");
    assert!(twin.stderr.contains("already used by another kheishd"), "{}", twin.stderr);
    assert!(twin.stderr.contains(&host.state_folder().display().to_string()), "{}", twin.stderr);
    assert_eq!(host.run(&run).await["status"], "queued");
}

#[tokio::test]
async fn a_daemon_that_was_killed_leaves_no_lock_behind() {
    let mut host = builder().start().await;
    for _ in 0..3 {
        host.kill();
        host.restart().await;
    }
    host.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn asked_to_stop_it_ends_well() {
    let connector = Http::named("orders").bearer("tok");
    let mut host = Host::builder().connectors(connector).start().await;
    let run = host.sender("orders").bearer("tok").say("k1", "room", "a").await.expect(200).text("/run_id").to_owned();
    let ended = host.terminate().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        files(&host),
        ["assets", "compiled", "control-plane-auth", "kheish.db", "kheishd.lock", "master.key"],
        "the log is folded into the file"
    );
    let mode = fs::metadata(host.state_folder().join("kheish.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads messages");
    host.restart().await;
    assert_eq!(host.run(&run).await["status"], "queued");
}

fn files(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.state_folder()).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn asked_to_stop_it_lets_a_delivery_in_flight_arrive() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(
        move |request| if request.index == 0 { Reply::Hold(held.clone()) } else { Reply::Status(200) },
    )
    .await;
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    let claimed = host.worker("w").take().await;
    host.worker("w").finish(&claimed, &["hello"]).await.expect(200);
    receiver.when("/in", 1).await;
    host.ask_to_stop();
    // It no longer takes work, and still waits for the target.
    let refused = kheish_host_tests::wait::eventually("it takes no more work", async || {
        let answer = host.post("/v1/sessions", &json!({ "session_id": "late" })).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    refused.problem(503, "api", "daemon_draining");
    host.get("/readyz").await.problem(503, "api", "daemon_draining");
    host.get("/v1/connectors/http/nobody").await.expect(404);
    host.post("/v1/connectors/http/nobody", &json!({})).await.problem(503, "connector_ingress", "daemon_draining");
    assert_eq!(host.run(&run).await["status"], "completed");
    assert!(host.is_running(), "it left before the target had answered");
    gate.open();
    assert_eq!(host.ended().await.code, Some(0));
    host.restart().await;
    assert_eq!(host.run(&run).await["deliveries"][0]["status"], "delivered");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn asked_to_stop_it_does_not_wait_for_ever() {
    let receiver = Receiver::scripted(|_| Reply::Hold(Gate::default())).await;
    let settings = format!("{}[server]\nshutdown_grace_ms = 200\n", super::QUICK);
    let mut host = builder().settings(&settings).start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    let claimed = host.worker("w").take().await;
    host.worker("w").finish(&claimed, &["hello"]).await.expect(200);
    receiver.when("/in", 1).await;
    let ended = host.terminate().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    receiver.follow(|_| Reply::Status(200));
    host.restart().await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(receiver.received()[0].key(), receiver.received()[1].key());
}

#[tokio::test]
async fn asked_to_stop_it_sends_waiting_workers_away() {
    let mut host = builder().start().await;
    let worker = host.worker("w");
    let ask = json!({ "wait_ms": 25_000 });
    let waiting = worker.ask(&ask);
    let (answer, ended) = futures_util::future::join(waiting, async {
        // The claim is on its way first: both go over connections of one client, in order.
        host.get("/v1/status").await.expect(200);
        host.terminate().await
    })
    .await;
    assert_eq!(answer.expect(200).json, json!({ "runs": [] }));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
