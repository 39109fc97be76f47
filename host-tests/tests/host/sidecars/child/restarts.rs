//! When a child is started again, and when it is not.

use std::net::TcpListener;

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    cli::Cli,
    host::HostBuilder,
    sidecar::metric,
    sse::{Frame, Stream},
};
use serde_json::json;

use super::{QUICK, another, builder, dismiss, looked_at_again, patient};

#[tokio::test]
async fn a_child_that_ends_or_does_not_answer_is_started_again() {
    let (host, child) = (builder("start_timeout_ms = 5000\n").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let mut pid = running(&host).await;
    for (what, reason) in [
        ("exit/7", "exit code 7"),
        ("health/mute", "probe_timeout_ms"),
        ("health/long", "too long"),
        ("health/impostor-somebody-else", "somebody-else"),
    ] {
        child.told(what).await;
        pid = another(&host, pid).await;
        let process = host.get(PATH).await.json["status"]["health"]["process"].clone();
        assert!(process["last_end"].as_str().is_some_and(|end| end.contains(reason)), "{what}: {process}");
    }
    assert_eq!(metric(&host, "child_restarts_total{connector=\"bridge\"}").await, 4.0);
    // What is on its way or has trouble of its own is left alone.
    for what in ["health/starting", "health/draining", "health/degraded"] {
        child.told(what).await;
        assert_eq!(looked_at_again(&host).await["process"]["pid"], json!(pid), "{what}");
    }
    assert_eq!(child.processes().len(), 2);
}

#[tokio::test]
async fn a_child_that_never_gets_ready_stays_down_until_an_operator_acts() {
    for (how, reason) in [
        ("starting", "says that it is starting"),
        ("mute", "probe_timeout_ms"),
        ("liar", "somebody-else"),
        ("exit", "exit code 7"),
    ] {
        let (host, child) = (builder("start_timeout_ms = 300\nstarts = 3\n").start().await, Child::new());
        child.put(&host, how, &json!({})).await;
        let health = process_when(&host, "stays down", |process| process["state"] == "stopped").await;
        let said = health["reason"].as_str().unwrap_or_default();
        assert!(health["state"] == "deaf" && said.contains(reason) && said.contains("3 times"), "{how}: {health}");
        assert_eq!(health["process"]["restarts"], 2, "{health}");
        child.is_gone().await;
        Cli::of(&host).run(&["doctor"]).await.says(&["external/bridge is deaf", "3 times"]);
        host.logs("stays down").await;
        Cli::of(&host).run(&["connectors", "restart", "external", "bridge"]).await.expect(0).says(&["external/bridge"]);
        process_when(&host, "was tried again", |process| process["restarts"].as_u64() > Some(2)).await;
        process_when(&host, "stays down again", |process| process["state"] == "stopped").await;
        host.put(PATH, &json!({ "child_process": child.fields("", &json!({}))["child_process"] })).await.expect(200);
        running(&host).await;
    }
}

#[tokio::test]
async fn a_program_that_is_none_is_told() {
    let (host, child) = (builder("starts = 2\n").start().await, Child::new());
    child.put(&host, "", &json!({ "command": "/nowhere/bridge" })).await;
    let health = process_when(&host, "stays down", |process| process["state"] == "stopped").await;
    assert!(health["reason"].as_str().is_some_and(|said| said.contains("/nowhere/bridge")), "{health}");
    host.put(PATH, &child.fields("", &json!({ "working_dir": "/nowhere" }))).await.expect(200);
    process_when(&host, "says where", |process| {
        process["last_end"].as_str().is_some_and(|end| end.contains("`/nowhere`"))
    })
    .await;
}

#[tokio::test]
async fn only_what_concerns_a_child_starts_it_anew() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let pid = running(&host).await;
    host.put(PATH, &json!({ "ingress_events_per_second": 7, "bind_path_prefixes": true })).await.expect(200);
    assert_eq!(looked_at_again(&host).await["process"]["pid"], json!(pid));
    host.put(PATH, &json!({ "shared_token": { "value": "another-token-of-the-bridge" } })).await.expect(200);
    let pid = another(&host, pid).await;
    assert_eq!(child.variable("KHEISH_EXTERNAL_CONNECTOR_SHARED_TOKEN").await, "another-token-of-the-bridge");
    let mut process = child.fields("", &json!({}))["child_process"].clone();
    process["env"]["MORE"] = json!("of it");
    host.put(PATH, &json!({ "child_process": process })).await.expect(200);
    another(&host, pid).await;
    assert_eq!(child.variable("MORE").await, "of it");
    assert_eq!(child.processes().len(), 2);
}

#[tokio::test]
async fn a_stranger_at_the_address_is_not_taken_for_the_child() {
    let (host, child) = (builder("").start().await, Child::new());
    let stranger = TcpListener::bind(child.address()).unwrap();
    child.put(&host, "", &json!({})).await;
    let health = process_when(&host, "waits", |process| process["state"] == "waiting").await;
    assert!(health["reason"].as_str().is_some_and(|said| said.contains("something else answers")), "{health}");
    assert!(child.processes().is_empty());
    drop(stranger);
    running(&host).await;
}

#[tokio::test]
async fn only_a_child_can_be_ordered_about() {
    let host = builder("").start().await;
    host.post(&format!("{PATH}/restart"), &json!({})).await.problem(404, "connectors", "connector_not_found");
    let remote =
        json!({ "platform": "forge", "base_url": "https://bridge.example", "allow_unauthenticated_ingress": true });
    host.put(PATH, &remote).await.expect(201);
    host.post(&format!("{PATH}/restart"), &json!({})).await.problem(409, "connectors", "no_process");
    host.get("/v1/runtime/auth/subjects/connector:bridge").await.problem(404, "credentials", "subject_not_found");
    let ran = Cli::of(&host).run(&["connectors", "restart", "external", "bridge"]).await;
    ran.says(&["starts no program"]);
    assert_ne!(ran.code, Some(0));
}

#[tokio::test]
async fn streams_tell_how_a_child_fares() {
    let (host, child) = (unhurried("").start().await, Child::new());
    let mut events = Stream::open(host.client(), "/v1/events/stream").await;
    child.put(&host, "", &json!({})).await;
    let pid = running(&host).await;
    child.told("exit/7").await;
    another(&host, pid).await;
    let told = told_until(&mut events, 2, |change, state| (change, state) == ("process", "running")).await;
    let expected = [
        ("process", "starting", ""),
        ("health", "ready", ""),
        ("process", "running", ""),
        // A look may have come before the news of its end.
        ("health", "deaf", " "),
        ("process", "waiting", "exit code 7"),
        ("process", "starting", ""),
        ("health", "ready", ""),
        ("process", "running", ""),
    ];
    assert_told(&told, &expected);
    // A new start after which it is as it was is no turn of its health.
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    let told = told_until(&mut events, 1, |change, state| (change, state) == ("process", "running")).await;
    assert_told(&told, &[("process", "starting", ""), ("process", "running", "")]);
}

#[tokio::test]
async fn streams_tell_once_that_a_child_is_down_and_when_it_is_given_up() {
    let (host, child) = (unhurried("starts = 3\n").start().await, Child::new());
    let mut events = Stream::open(host.client(), "/v1/events/stream").await;
    child.put(&host, "exit", &json!({})).await;
    let told = told_until(&mut events, 1, |_, state| state == "stopped").await;
    let expected = [
        ("process", "starting", ""),
        ("health", "deaf", "exit code 7"),
        ("process", "waiting", "exit code 7"),
        ("process", "starting", ""),
        ("process", "waiting", "exit code 7"),
        ("process", "starting", ""),
        ("process", "waiting", "exit code 7"),
        ("process", "stopped", "3 times"),
    ];
    assert_told(&told, &expected);
}

/// No look is given up because the machine is busy.
fn unhurried(more: &str) -> HostBuilder {
    let settings = format!("{QUICK}{more}").replace("probe_timeout_ms = 500", "probe_timeout_ms = 20000");
    builder("").settings(&settings)
}

/// What streams told of how the sidecar fares, up to the `count`th that is like that.
async fn told_until(events: &mut Stream, count: usize, last: impl Fn(&str, &str) -> bool) -> Vec<Frame> {
    let mut told = Vec::new();
    for _ in 0..count {
        let seen = events.until(|frame| last(frame.text("change"), frame.text("state"))).await;
        told.extend(seen.into_iter().filter(|frame| ["process", "health"].contains(&frame.text("change"))));
    }
    told
}

#[track_caller]
fn assert_told(told: &[Frame], expected: &[(&str, &str, &str)]) {
    let short: Vec<_> = told.iter().map(|frame| (frame.text("change"), frame.text("state"))).collect();
    let wanted: Vec<_> = expected.iter().map(|(change, state, _)| (*change, *state)).collect();
    assert_eq!(short, wanted);
    for (frame, (_, _, reason)) in told.iter().zip(expected) {
        assert_eq!((frame.name.as_str(), frame.text("connector")), ("connector_updated", "external/bridge"));
        assert!(frame.text("reason").contains(reason) && frame.text("reason").is_empty() == reason.is_empty());
    }
}

#[tokio::test]
async fn orders_in_a_row_start_one_new_life() {
    let (host, child) = (patient("").start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    let first = running(&host).await;
    for _ in 0..2 {
        host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
        host.logs("asked to end 1").await;
    }
    child.told("exit/0").await;
    let second = another(&host, first).await;
    let health = looked_at_again(&host).await;
    assert_eq!((&health["process"]["pid"], &health["process"]["restarts"]), (&json!(second), &json!(1)), "{health}");
    dismiss(&host, &child).await;
}
