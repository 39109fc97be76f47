//! Ends in order: a child is asked to end once, after what it has to do for the daemon.

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    client::answer,
    host::Host,
    process::signal,
    sidecar::{TOKEN, event_with, sender},
    wait::eventually,
};
use reqwest::Method;
use serde_json::json;

use super::{another, dismiss, guard, patient, send_as};

/// A delivery to the child is under way: it holds it.
async fn is_delivering(child: &Child, count: usize) {
    eventually("the delivery is under way", async || {
        (child.told("deliveries/").await.as_array().map(Vec::len) == Some(count)).then_some(())
    })
    .await;
}

/// The daemon takes no more work.
async fn is_draining(host: &Host) {
    eventually("it takes no more work", async || {
        (host.post("/v1/sessions", &json!({})).await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_child_is_asked_once_however_many_of_its_own_end() {
    let (mut host, child) = (patient("").start().await, Child::new());
    let double = kheish_host_tests::places::beside("sidecar-double");
    // One of them is in a session of its own, has no parent, and takes a moment to end.
    let slow = "trap 'sleep 0.2; exit 0' TERM; while true; do sleep 0.05; done";
    let script = format!("(setsid sh -c \"{slow}\" &); exec {}", double.display());
    child.put(&host, "gentle", &json!({ "command": "sh", "args": ["-c", script] })).await;
    let pid = running(&host).await;
    let guard = guard(&child, pid);
    eventually("the other one is there", async || (child.processes().len() >= 3).then_some(())).await;
    host.ask_to_stop();
    host.logs("asked to end 1").await;
    eventually("the other one has ended", async || {
        let mut left = child.processes();
        left.sort_unstable();
        let mut two = vec![guard, u32::try_from(pid).unwrap()];
        two.sort_unstable();
        (left == two).then_some(())
    })
    .await;
    child.told("exit/0").await;
    assert_eq!(host.ended().await.code, Some(0));
    assert!(!host.log().contains("asked to end 2"), "{}", host.log());
    child.is_gone().await;
}

#[tokio::test]
async fn a_guard_that_is_asked_to_end_goes_on() {
    let (mut host, child) = (patient("").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    let pid = running(&host).await;
    let guard = guard(&child, pid);
    let instance = host.get(PATH).await.json["status"]["health"]["instance_id"].clone();
    let run = send_as(&host, &instance, "e-1").await;
    is_delivering(&child, 1).await;
    // A service manager asks everybody at once, a terminal that closes all of its own.
    for name in ["TERM", "INT", "HUP"] {
        signal(guard, name);
    }
    host.ask_to_stop();
    is_draining(&host).await;
    assert_eq!(running(&host).await, pid);
    child.told("go/").await;
    host.logs("asked to end 1").await;
    child.told("exit/0").await;
    assert_eq!(host.ended().await.code, Some(0));
    host.restart().await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!(delivery["attempts"], 1, "{delivery}");
    dismiss(&host, &child).await;
}

#[tokio::test]
async fn a_delivery_that_is_under_way_at_the_end_gets_its_file() {
    let (mut host, child) = (patient("").executor("claim").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    running(&host).await;
    let kept = host.client().request(Method::POST, "/v1/assets?name=a.txt&media_type=text/plain").body("twelve bytes");
    let kept = answer(kept).await.expect(201).text("/asset_id").to_owned();
    let instance = host.get(PATH).await.json["status"]["health"]["instance_id"].clone();
    let run = send_as(&host, &instance, "e-1").await;
    let claimed = host.worker("w").take().await;
    let outputs = json!([{ "content": "see", "artifacts": [{ "asset_id": kept }] }]);
    let finished = json!({ "epoch": claimed.epoch, "outputs": outputs });
    host.post(&format!("/v1/runs/{run}/finish"), &finished).await.expect(200);
    is_delivering(&child, 1).await;
    host.ask_to_stop();
    is_draining(&host).await;
    // What comes in through a sidecar is still taken.
    let event = event_with("e-2", &json!({ "instance_id": instance }));
    let last = sender(&host, "bridge").bearer(TOKEN).at("/events").post(&event).await.expect(200);
    assert_eq!(last.text("/status"), "accepted");
    assert!(!host.log().contains("asked to end"), "{}", host.log());
    child.told("go/").await;
    host.logs("fetched 12 bytes").await;
    host.logs("asked to end 1").await;
    child.told("exit/0").await;
    assert_eq!(host.ended().await.code, Some(0));
    host.restart().await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!(delivery["attempts"], 1, "{delivery}");
    assert_eq!(host.run(last.text("/run_id")).await["status"], "queued");
    dismiss(&host, &child).await;
}

#[tokio::test]
async fn a_delivery_that_is_under_way_at_a_restart_is_sent_once() {
    let (host, child) = (patient("").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    let pid = running(&host).await;
    let instance = host.get(PATH).await.json["status"]["health"]["instance_id"].clone();
    let run = send_as(&host, &instance, "e-1").await;
    is_delivering(&child, 1).await;
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    host.logs("asked to end 1").await;
    process_when(&host, "ends", |process| process["state"] == "ending").await;
    child.told("go/").await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!(delivery["attempts"], 1, "{delivery}");
    child.told("exit/0").await;
    another(&host, pid).await;
    assert_eq!(child.told("deliveries/").await, json!([]), "the new one was given nothing");
    dismiss(&host, &child).await;
}

#[tokio::test]
async fn a_child_that_ends_while_the_daemon_stops_is_not_started_again() {
    let (mut host, child) = (patient("").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    running(&host).await;
    let instance = host.get(PATH).await.json["status"]["health"]["instance_id"].clone();
    send_as(&host, &instance, "e-1").await;
    is_delivering(&child, 1).await;
    host.ask_to_stop();
    is_draining(&host).await;
    child.told("exit/7").await;
    assert_eq!(host.ended().await.code, Some(0));
    assert_eq!(host.log().matches("was started as process").count(), 1, "{}", host.log());
}
