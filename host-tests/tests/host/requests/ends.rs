//! How requests end, and what follows for the delivery that made them.

use kheish_host_tests::{
    courier::{asks, courier, route, seen},
    receiver::{Gate, Receiver, Reply},
    stray::{Step, Stray},
};
use serde_json::{Value, json};

use super::{QUICK, builder, deliver, with_api};

/// The code of a delivery's error, and whether the guest was told that its last request may have arrived.
fn told(host: &kheish_host_tests::host::Host, delivery: &Value) -> (String, bool) {
    let last = seen(host).pop().unwrap_or_default();
    (delivery["last_error"]["code"].as_str().unwrap_or_default().to_owned(), last["sent"] == true)
}

#[tokio::test]
async fn nobody_at_home_is_tried_again() {
    let url = {
        let gone = Receiver::start().await;
        gone.url("")
    };
    let host = builder().connectors(courier(&url, "")).start().await;
    let ask = json!({ "method": "POST", "url": format!("{url}/x"), "body": "hi" });
    let delivery = deliver(&host, asks(&[ask]), "dead_lettered").await;
    assert_eq!(told(&host, &delivery), ("http_transport".to_owned(), false), "{delivery}");
    assert_eq!(delivery["attempts"], 2, "{delivery}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_unknown() {
    let api = Receiver::scripted(|_| Reply::HangUp).await;
    let host = with_api(&api).await;
    let delivery = deliver(&host, asks(&[json!({ "method": "POST", "url": api.url("/x") })]), "unknown").await;
    assert_eq!(told(&host, &delivery), ("http_transport".to_owned(), true), "{delivery}");
    assert_eq!(api.received().len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_does_not_come_is_unknown() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    for (steps, code) in [
        (vec![Step::ReadAll, Step::Say(format!("{head}half"))], "http_transport"),
        (vec![Step::ReadAll, Step::Say(head.to_owned()), Step::Stay], "http_timeout"),
        (vec![Step::ReadAll, Step::Stay], "http_timeout"),
        (vec![Step::ReadAll, Step::Say("not http at all\r\n\r\n".to_owned())], "http_transport"),
    ] {
        let api = Stray::start(move |_| steps.clone()).await;
        let host = builder().connectors(courier(&api.url(""), "")).start().await;
        let ask = json!({ "method": "POST", "url": api.url("/x"), "timeout_ms": 700, "body": "hi" });
        let delivery = deliver(&host, asks(&[ask]), "unknown").await;
        assert_eq!(told(&host, &delivery), (code.to_owned(), true), "{delivery}");
    }
}

#[tokio::test]
async fn sizes_and_counts_are_bounded() {
    let api = Receiver::scripted(|request| match request.path.as_str() {
        "/large" => Reply::Body(200, "text/plain", "x".repeat(2_001)),
        "/fits" => Reply::Body(200, "text/plain", "x".repeat(2_000)),
        "/headers" => Reply::With(200, "x-long", "x".repeat(1_500)),
        _ => Reply::Status(200),
    })
    .await;
    let limits = "[guests.requests]\nbody_bytes = 1000\nresponse_bytes = 2000\nheader_bytes = 1000\nper_call = 3\n";
    let host = builder().settings(&format!("{QUICK}{limits}")).connectors(courier(&api.url(""), "")).start().await;
    let url = |path: &str| api.url(path);
    let fine = json!({ "url": url("/fits") });
    deliver(
        &host,
        asks(&[fine.clone(), json!({ "url": url("/x"), "method": "POST", "body_bytes": 1000 })]),
        "delivered",
    )
    .await;
    for (requests, status, code) in [
        (vec![json!({ "url": url("/large") })], "unknown", "http_too_large"),
        (vec![json!({ "url": url("/headers") })], "unknown", "http_too_large"),
        (vec![json!({ "url": url("/y"), "method": "POST", "body_bytes": 1001 })], "dead_lettered", "http_too_large"),
        (vec![json!({ "url": url("/y"), "headers": [["x", "v".repeat(1_000)]] })], "dead_lettered", "http_too_large"),
        (vec![fine.clone(), fine.clone(), fine.clone(), json!({ "url": url("/y") })], "dead_lettered", "http_denied"),
    ] {
        let delivery = deliver(&host, asks(&requests), status).await;
        assert_eq!(delivery["last_error"]["code"], code, "{delivery}");
    }
    assert!(api.received_at("/y").is_empty());
}

#[tokio::test]
async fn a_call_that_fails_after_it_has_sent_is_not_repeated() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    let ask = json!({ "method": "POST", "url": api.url("/sent") });
    let delivery = deliver(&host, route(&json!({ "asks": [ask], "then": "trap" })), "unknown").await;
    assert_eq!(delivery["last_error"]["code"], "connector_failed", "{delivery}");
    assert_eq!(api.received_at("/sent").len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_after_it_has_only_read_is_repeated() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    let ask = json!({ "url": api.url("/read") });
    let delivery = deliver(&host, route(&json!({ "asks": [ask], "then": "trap" })), "dead_lettered").await;
    assert_eq!((&delivery["last_error"]["code"], &delivery["attempts"]), (&json!("connector_failed"), &json!(2)));
    assert_eq!(api.received_at("/read").len(), 2);
}

#[tokio::test]
async fn a_call_that_is_cut_off_while_it_sends_is_unknown() {
    let gate = Gate::default();
    let held = gate.clone();
    let api = Receiver::scripted(move |request| match request.path.as_str() {
        "/held" => Reply::Hold(held.clone()),
        _ => Reply::Status(200),
    })
    .await;
    let settings = format!("{QUICK}[guests]\ndelivery_deadline_ms = 700\n");
    let host = builder().settings(&settings).connectors(courier(&api.url(""), "")).start().await;
    // It waits no longer than the call has: the guest hears of it in time.
    let ask = json!({ "method": "POST", "url": api.url("/held") });
    let delivery = deliver(&host, asks(&[ask]), "unknown").await;
    assert_eq!(told(&host, &delivery), ("http_timeout".to_owned(), true), "{delivery}");
    gate.open();
    let ask = json!({ "method": "POST", "url": api.url("/sent") });
    let target = route(&json!({ "asks": [ask], "then": "loop" }));
    let delivery = deliver(&host, target, "unknown").await;
    assert_eq!(delivery["last_error"]["code"], "connector_timeout", "{delivery}");
    assert_eq!(api.received_at("/sent").len(), 1);
}
