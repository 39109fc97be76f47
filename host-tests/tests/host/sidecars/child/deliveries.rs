//! Deliveries to a child: they wait while it is not there, spend nothing, and go to nobody else.

use std::collections::BTreeMap;

use kheish::clock::Clock;
use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    host::Host,
    receiver::{Receiver, Reply},
    sidecar::{event, send, verdict},
    sse::{Frame, Stream},
    wait::eventually,
};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::builder;
use crate::duties::{let_go, taken_by_another};

/// Short waits, but for what these lines set.
fn quick(lines: &str) -> String {
    let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
    let set: Vec<_> = lines.lines().filter_map(key).collect();
    let kept = super::QUICK.lines().filter(|line| !key(line).is_some_and(|key| set.contains(&key)));
    kept.map(|line| format!("{line}\n")).collect::<String>() + lines
}

/// Sends an event, whose run says the same. Gives the run.
async fn say(host: &Host, id: &str) -> String {
    send(host, "bridge", &event(id, id)).await.expect(200).text("/run_id").to_owned()
}

/// A run of the session `room`, which is answered there. Gives the run.
async fn submit(host: &Host, route: &str) -> String {
    let address = json!({ "connector": "bridge", "route": route }).to_string();
    let said = json!({ "content": "x", "reply_targets": [{ "plugin": "external", "address": address }] });
    host.submit("room", &said).await.expect(202).text("/run_id").to_owned()
}

/// The only delivery of a run.
async fn delivery(host: &Host, run: &str) -> Option<Value> {
    let id = host.run(run).await["deliveries"][0]["delivery_id"].as_str()?.to_owned();
    Some(host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json)
}

/// The same, once it waits for this.
async fn waiting(host: &Host, run: &str, code: &str, reason: &str) -> Value {
    let waits = eventually(&format!("it waits: {code}, {reason}"), async || {
        let error = |delivery: &Value| {
            let error = &delivery["last_error"];
            error["code"] == code && error["detail"].as_str().is_some_and(|detail| detail.contains(reason))
        };
        delivery(host, run).await.filter(error)
    })
    .await;
    assert_eq!((&waits["status"], &waits["attempts"]), (&json!("retrying"), &json!(0)), "{waits}");
    assert_eq!(waits["failed_attempts"], json!([]), "nothing was tried");
    waits
}

/// What streams were told of a delivery, as statuses with the codes of errors.
fn told(frames: &[Frame], delivery: &Value) -> Vec<String> {
    let of_it = frames.iter().filter(|frame| frame.data["delivery_id"] == delivery["delivery_id"]);
    of_it
        .map(|frame| format!("{} {}", frame.text("status"), frame.data["error"]["code"].as_str().unwrap_or("-")))
        .collect()
}

fn now_ms() -> i64 {
    Clock::system().now_ms()
}

async fn goes_out(host: &Host, run: &str) -> Value {
    host.deliveries_when(run, 1, "delivered").await;
    let delivered = delivery(host, run).await.unwrap();
    assert_eq!((&delivered["attempts"], &delivered["failed_attempts"]), (&json!(1), &json!([])), "{delivered}");
    delivered
}

#[tokio::test]
async fn what_waits_for_a_child_is_not_tried_and_told_of_once() {
    for (settings, how, state, code) in [
        ("start_timeout_ms = 60000\n", "starting", "starting", "sidecar_starting"),
        ("restart_ms = 3600000\nmax_restart_ms = 3600000\n", "exit", "waiting", "sidecar_deaf"),
        ("starts = 1\nrestart_ms = 1\n", "exit", "stopped", "sidecar_stopped"),
    ] {
        let (host, child) = (builder("").settings(&quick(settings)).start().await, Child::new());
        let mut events = Stream::open(host.client(), "/v1/events/stream").await;
        child.put(&host, how, &json!({})).await;
        process_when(&host, &format!("is {state}"), |process| process["state"] == state).await;
        let run = say(&host, "hello").await;
        let waits = waiting(&host, &run, code, "").await;
        let mut next = waits["next_attempt_at_ms"].clone();
        for again in 0..if state == "waiting" { 0 } else { 3 } {
            next = eventually(&format!("it is put off again ({again})"), async || {
                let now = delivery(&host, &run).await?["next_attempt_at_ms"].clone();
                (now.is_i64() && now != next).then_some(now)
            })
            .await;
        }
        waiting(&host, &run, code, "").await;
        host.put(PATH, &json!({ "child_process": child.fields("", &json!({}))["child_process"] })).await.expect(200);
        let delivered = goes_out(&host, &run).await;
        let is_end = |frame: &Frame| {
            frame.data["delivery_id"] == delivered["delivery_id"] && frame.text("status") == "delivered"
        };
        let mut seen = told(&events.until(is_end).await, &delivered);
        // The new settings' child may be told of as starting before it is ready.
        seen.retain(|one| code == "sidecar_starting" || one != "pending sidecar_starting");
        assert_eq!(
            seen,
            ["pending -".to_owned(), format!("pending {code}"), "sending -".to_owned(), "delivered -".to_owned()]
        );
    }
}

#[tokio::test]
async fn what_waits_goes_as_soon_as_the_child_is_ready() {
    let settings =
        quick("start_timeout_ms = 60000\n").replace("health_interval_ms = 50", "health_interval_ms = 600000");
    let (host, child) = (builder("").settings(&settings).start().await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let runs = [say(&host, "one").await, say(&host, "two").await];
    let waits = waiting(&host, &runs[0], "sidecar_starting", "").await;
    assert!(waits["next_attempt_at_ms"].as_i64().unwrap() > now_ms() + 300_000, "{waits}");
    child.listens().await;
    child.told("health/ready").await;
    for run in runs {
        goes_out(&host, &run).await;
    }
}

#[tokio::test]
async fn what_another_daemon_is_to_send_is_left_to_it() {
    let (host, child) = (builder("[duties]\nlease_ms = 600\n").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    taken_by_another(&host).await;
    process_when(&host, "runs elsewhere", |process| process["state"] == "elsewhere").await;
    let run = say(&host, "hello").await;
    let waits = waiting(&host, &run, "sidecar_elsewhere", "another daemon").await;
    assert!(waits["next_attempt_at_ms"].as_i64().unwrap() <= now_ms(), "whoever can may send it at once: {waits}");
    let_go(&host).await;
    goes_out(&host, &run).await;
}

#[tokio::test]
async fn what_waits_for_too_long_is_given_up() {
    let settings = quick("start_timeout_ms = 60000\n[delivery.connectors]\ngive_up_after_ms = 500\n");
    let (host, child) = (builder("").settings(&settings).start().await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let began_ms = now_ms();
    let run = say(&host, "hello").await;
    host.deliveries_when(&run, 1, "dead_lettered").await;
    let dead = delivery(&host, &run).await.unwrap();
    let error = &dead["last_error"];
    assert!(error["code"] == "sidecar_starting" && error["detail"].as_str().unwrap().contains("given up"), "{dead}");
    assert!(dead["dead_lettered_at_ms"].as_i64().unwrap() - began_ms >= 500, "{dead}");
    assert!(child.told("deliveries/").await.as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn a_stranger_at_the_address_is_shown_no_delivery() {
    let (mut host, child) = (builder("start_timeout_ms = 60000\n").start().await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let run = say(&host, "hello").await;
    waiting(&host, &run, "sidecar_starting", "").await;
    host.kill();
    child.is_gone().await;
    let stranger = Receiver::at(child.address(), |request| match request.path.as_str() {
        "/deliver" => verdict(200, "committed"),
        _ => Reply::Status(404),
    })
    .await;
    host.restart().await;
    // Whoever is there when the daemon starts, or when the settings change.
    for members in [json!({}), json!({ "args": ["--another"] })] {
        process_when(&host, "waits", |process| process["state"] == "waiting").await;
        waiting(&host, &run, "sidecar_deaf", "something else answers").await;
        host.put(PATH, &child.fields("", &members)).await.expect(200);
    }
    waiting(&host, &run, "sidecar_deaf", "something else answers").await;
    assert_eq!(stranger.count(), 0, "{:?}", stranger.received());
    drop(stranger);
    goes_out(&host, &run).await;
}

/// Whoever connects is kept waiting, so that the daemon needs a moment to find out that its child cannot be started.
#[tokio::test]
async fn what_waits_is_not_tried_before_the_daemon_has_begun_to_look() {
    let (mut host, child) = (builder("start_timeout_ms = 60000\n").start().await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let run = say(&host, "hello").await;
    waiting(&host, &run, "sidecar_starting", "").await;
    host.kill();
    child.is_gone().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(child.address()).unwrap();
    let stranger = socket.listen(1).unwrap();
    let queue =
        [TcpStream::connect(child.address()).await.unwrap(), TcpStream::connect(child.address()).await.unwrap()];
    host.restart().await;
    process_when(&host, "waits", |process| process["state"] == "waiting").await;
    waiting(&host, &run, "sidecar_deaf", "").await;
    drop((stranger, queue));
    host.put(PATH, &child.fields("", &json!({}))).await.expect(200);
    goes_out(&host, &run).await;
}

/// A child that takes its time to end: it goes on until it is killed.
fn ending_slowly(child: &Child) -> Value {
    let double = child.fields("", &json!({}))["child_process"]["command"].as_str().unwrap().to_owned();
    json!({ "command": "sh", "args": ["-c", format!("trap '' TERM; exec {double}")] })
}

#[tokio::test]
async fn a_token_that_is_rotated_under_traffic_costs_nothing() {
    let (host, child) = (builder("lines_per_second = 100000\n").start().await, Child::new());
    child.put(&host, "", &ending_slowly(&child)).await;
    running(&host).await;
    host.make_session("room").await;
    let mut runs = Vec::new();
    for number in 0..120 {
        if [40, 80].contains(&number) {
            let token = json!({ "shared_token": { "value": format!("the-token-after-{number}-deliveries") } });
            host.put(PATH, &token).await.expect(200);
        }
        runs.push(submit(&host, &format!("room-{}", number % 12)).await);
    }
    let mut expected = BTreeMap::new();
    for run in &runs {
        let delivered = host.deliveries_when(run, 1, "delivered").await.remove(0);
        assert_eq!(delivered["attempts"], 1, "{delivered}");
        expected.insert(delivered["delivery_id"].as_str().unwrap().to_owned(), 1);
    }
    let took = eventually("the log has what the children took", async || {
        let mut took = BTreeMap::new();
        for line in host.log().lines() {
            if let Some((id, _)) = line.split_once("took \"").and_then(|(_, rest)| rest.split_once('"')) {
                *took.entry(id.to_owned()).or_insert(0) += 1;
            }
        }
        (took.len() == expected.len()).then_some(took)
    })
    .await;
    assert_eq!(took, expected, "each once");
    let log = host.log();
    assert!(!log.contains("another token") && !log.contains("locked out"), "{log}");
}

#[tokio::test]
async fn a_child_that_is_started_anew_during_a_delivery_leaves_it_unknown() {
    for (policy, status, attempts) in [("resend", "delivered", 2), ("pass", "unknown", 1)] {
        let (host, child) = (builder("").start().await, Child::new());
        let mut fields = child.fields("", &json!({}));
        fields["unknown_deliveries"] = json!(policy);
        host.put(PATH, &fields).await.expect(201);
        let first = running(&host).await;
        child.told("deliver/hold").await;
        host.make_session("room").await;
        let run = submit(&host, "room").await;
        eventually("it is under way", async || {
            (child.told("deliveries/").await.as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;
        host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
        host.deliveries_when(&run, 1, status).await;
        let is_another = |process: &Value| process["state"] == "running" && process["pid"] != json!(first);
        process_when(&host, "is another one", is_another).await;
        let settled = delivery(&host, &run).await.unwrap();
        assert_eq!((&settled["status"], &settled["attempts"]), (&json!(status), &json!(attempts)), "{settled}");
        let failed = settled["failed_attempts"].as_array().unwrap();
        assert_eq!((failed.len(), &failed[0]["outcome"]), (1, &json!("unknown")), "{settled}");
        let taken = child.told("deliveries/").await.as_array().map(Vec::len);
        assert_eq!(taken, Some(usize::from(attempts == 2)), "by the second life");
    }
}
