//! What goes, and when.

use kheish_host_tests::{host::Host, problem::INGRESS, receiver::Receiver};

use super::{age, answered, gone, host, later, sender};

#[tokio::test]
async fn bodies_go_before_their_runs() {
    let receiver = Receiver::start().await;
    let (mut host, sender) = host(&receiver, "").await;
    let run = answered(&host, &sender, "k", "delivered").await;
    later(&mut host, 31).await;
    gone(&host, "bodies", 1).await;
    let left = host.run(&age::name(&run, 31)).await;
    assert_eq!((&left["body_pruned"], &left["status"]), (&true.into(), &"completed".into()));
    assert_eq!((&left["input"], &left["input_metadata"]), (&serde_json::json!([]), &serde_json::json!({})));
    assert_eq!(
        (&left["outputs"][0]["content"], &left["deliveries"][0]["status"]),
        (&"not much".into(), &"delivered".into())
    );
    later(&mut host, 60).await;
    gone(&host, "runs", 1).await;
    gone(&host, "deliveries", 1).await;
    host.get(&format!("/v1/runs/{}", age::name(&run, 91))).await.problem(404, "runs", "run_not_found");
    assert_eq!(host.get("/v1/deliveries").await.expect(200).items().len(), 0);
    assert_eq!(host.ledger().await["sessions"]["total"], 1);
    host.terminate().await;
    age::is_empty(&host, &["runs", "outputs", "deliveries", "receipts"]).await;
}

#[tokio::test]
async fn an_event_is_known_for_as_long_as_its_receipt() {
    let receiver = Receiver::start().await;
    let (mut host, events) = host(&receiver, "").await;
    let run = answered(&host, &events, "k", "delivered").await;
    later(&mut host, 29).await;
    let again = sender(&host).say("k", "room", "what is new").await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", age::name(&run, 29).as_str()));
    later(&mut host, 2).await;
    gone(&host, "receipts", 1).await;
    let anew = sender(&host).say("k", "room", "what is new").await.expect(200);
    assert_eq!(anew.header("kheish-receipt"), "accepted");
    assert_eq!(anew.json["seq"], 2);
}

#[tokio::test]
async fn a_duplicate_finds_a_run_without_a_body() {
    let receiver = Receiver::start().await;
    let (mut host, events) = host(&receiver, "receipts_days = 60").await;
    let run = answered(&host, &events, "k", "delivered").await;
    later(&mut host, 31).await;
    gone(&host, "bodies", 1).await;
    let again = sender(&host).say("k", "room", "what is new").await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", age::name(&run, 31).as_str()));
    assert_eq!(again.json["body_pruned"], true);
    sender(&host).say("k", "room", "something else").await.problem(409, INGRESS, "idempotency_conflict");
}

#[tokio::test]
async fn attempts_go_alone() {
    let receiver = Receiver::start().await;
    let (mut host, events) = host(&receiver, "").await;
    answered(&host, &events, "k", "delivered").await;
    host.terminate().await;
    for text in [
        "INSERT INTO delivery_attempts SELECT id, 0, 1, ended_ms, ended_ms, 'retry', 'old', '' FROM deliveries",
        "INSERT INTO delivery_attempts SELECT id, 0, 2, ended_ms, ended_ms + 172800000, 'retry', 'young', '' FROM deliveries",
    ] {
        age::change(&host, text).await;
    }
    host.restart().await;
    later(&mut host, 31).await;
    gone(&host, "attempts", 1).await;
    later(&mut host, 60).await;
    gone(&host, "deliveries", 1).await;
    host.terminate().await;
    age::is_empty(&host, &["delivery_attempts"]).await;
}

#[tokio::test]
async fn idle_sessions_go_when_asked() {
    let receiver = Receiver::start().await;
    let (mut host, events) = host(&receiver, "idle_sessions_days = 100").await;
    answered(&host, &events, "k", "delivered").await;
    events.say("waits", "other room", "a").await.expect(200);
    later(&mut host, 101).await;
    gone(&host, "sessions", 1).await;
    let ledger = host.ledger().await;
    assert_eq!((&ledger["sessions"]["total"], &ledger["runs"]["queued"]), (&1.into(), &1.into()));
    let anew = sender(&host).say("k", "room", "what is new").await.expect(200);
    assert_eq!(anew.json["seq"], 1);
}

#[tokio::test]
async fn ages_that_break_promises_are_refused() {
    for (settings, key) in [
        ("[retention]\nreceipts_days = 6\n", "retention.receipts_days is 6"),
        ("[retention]\nruns_days = 29\n", "retention.runs_days is 29"),
    ] {
        let ended = Host::builder().settings(settings).run_to_end().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(key), "{}", ended.stderr);
    }
}
