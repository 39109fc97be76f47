//! `connectors test` against a daemon that answers by script.

use kheish_host_tests::{
    cli::Cli,
    receiver::{Receiver, Reply},
};
use serde_json::{Value, json};

use super::{answer, problem, scripted};

fn sent(status: u16, document: Value) -> Value {
    json!({ "request": { "method": "POST", "url": "http://127.0.0.1:4000/v1/connectors/http/orders",
                         "headers_sent": ["authorization", "x-kheish-signature"] },
            "status": status, "receipt": "accepted", "answer": document, "run_id": "run_1" })
}

fn run(status: &str, deliveries: &Value) -> Value {
    json!({ "run_id": "run_1", "session_id": "room", "status": status, "attempt": 1, "submitted_at_ms": 1000,
            "finished_at_ms": 1250, "outputs": [{ "content": "hello" }], "deliveries": deliveries })
}

async fn daemon(deliveries: Value, status: &'static str) -> (Receiver, Cli) {
    scripted(move |request| match request.path.as_str() {
        "/v1/runtime/connectors/http/orders/test" => answer(200, &sent(200, json!({}))),
        // It is under way at the first look.
        "/v1/runs/run_1" if request.nth_to_path == 0 => answer(200, &run("running", &json!([]))),
        "/v1/runs/run_1" => answer(200, &run(status, &deliveries)),
        _ => problem(404, "route_not_found", "there is no such route", &[]),
    })
    .await
}

const TEST: [&str; 4] = ["connectors", "test", "http", "orders"];

#[tokio::test]
async fn an_event_is_followed_to_its_last_delivery() {
    let delivered = json!([{ "delivery_id": "delivery_1", "target": "http:x", "status": "delivered", "attempts": 1 }]);
    let (daemon, cli) = daemon(delivered, "completed").await;
    let ran = cli.run(&[&TEST[..], &["--text", "hi"]].concat()).await.expect(0);
    ran.says(&["x-kheish-signature", "200, receipt accepted, run run_1", "completed after 250 ms", "\"hello\""]);
    ran.says(&["delivery_1", "Everything did what it should."]);
    assert_eq!(daemon.received()[0].body, json!({ "text": "hi" }));
    let file = cli.file("body.json", r#"{"order":1}"#);
    cli.run(&[&TEST[..], &["--file", file.to_str().unwrap(), "--no-wait"]].concat()).await.expect(0);
    assert_eq!(daemon.received().last().unwrap().body, json!({ "body": { "order": 1 } }));
}

#[tokio::test]
async fn a_daemon_that_is_away_for_a_moment_ends_no_wait() {
    let (daemon, cli) = scripted(|request| match request.nth_to_path {
        0 => answer(200, &run("running", &json!([]))),
        1 => Reply::HangUp,
        2 => Reply::Status(503),
        _ => answer(200, &run("completed", &json!([]))),
    })
    .await;
    cli.run(&["runs", "wait", "run_1"]).await.expect(0).says(&["completed"]);
    // But who was never there is not waited for.
    daemon.follow(|_| Reply::HangUp);
    cli.run(&["runs", "wait", "run_2"]).await.expect(5);
}

#[tokio::test]
async fn a_dead_letter_is_found() {
    let dead = json!([{ "delivery_id": "delivery_1", "target": "http:x", "status": "dead_lettered", "attempts": 8,
                        "last_error": { "code": "http_500", "detail": "the target answered 500" } }]);
    let (_daemon, cli) = daemon(dead, "completed").await;
    cli.run(&TEST).await.expect(6).says(&["✗ delivery", "the target answered 500 (http_500)"]);
    let found = cli.run(&[&TEST[..], &["--output", "json"]].concat()).await.expect(6).json();
    assert_eq!((&found["ok"], found["problems"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert_eq!(found["test"]["receipt"], "accepted");
}

#[tokio::test]
async fn a_run_that_nobody_takes_is_told_as_such() {
    let (_daemon, cli) = daemon(json!([]), "queued").await;
    cli.run(&[&TEST[..], &["--timeout", "200ms"]].concat()).await.expect(6).says(&["no worker has taken it"]);
}

#[tokio::test]
async fn a_refusal_by_the_route_is_found() {
    let (_daemon, cli) = scripted(|_| {
        let refusal = json!({ "code": "invalid_signature", "detail": "the signature is wrong" });
        let mut sent = sent(401, refusal);
        sent["run_id"] = Value::Null;
        answer(200, &sent)
    })
    .await;
    cli.run(&TEST).await.expect(6).says(&["401 invalid_signature: the signature is wrong"]);
}

#[tokio::test]
async fn a_daemon_that_refuses_the_test_is_no_finding() {
    let (_daemon, cli) = scripted(|_| problem(404, "connector_not_found", "there is no http/orders", &[])).await;
    cli.run(&TEST).await.expect(3);
    let (_daemon, cli) = scripted(|_| Reply::Status(503)).await;
    cli.run(&TEST).await.expect(1);
}
