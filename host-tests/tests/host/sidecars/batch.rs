//! Events that come together: independent of each other, and in few commits.

use std::collections::BTreeSet;

use kheish::{
    metrics::Metrics,
    store::{
        Store, StoreError, StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};
use kheish_host_tests::{
    client::Answer,
    host::Host,
    scrape::Scrape,
    sidecar::{self, Sidecar, TOKEN, event, event_with, send, send_all, sender},
};
use serde_json::{Value, json};

use super::{builder, start};

fn statuses(results: &Value) -> Vec<&str> {
    let results = results["results"].as_array().unwrap();
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_event_has_a_result_of_its_own_in_the_same_order() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let first = send(&host, "bridge", &event("e-0", "zero")).await.expect(200);
    let events = [
        event("e-1", "one"),
        event("e-0", "zero"),
        json!({ "event_id": "half" }),
        event("e-1", "one"),
        event("e-0", "another"),
        event("e-1", "another"),
        event_with("e-2", &json!({ "intent": " " })),
        json!("nothing"),
        event("e-3", "three"),
    ];
    let answer = send_all(&host, "bridge", &events).await.expect(200);
    assert_eq!(
        statuses(&answer.json),
        ["accepted", "duplicate", "rejected", "duplicate", "rejected", "rejected", "rejected", "rejected", "accepted"]
    );
    let results = &answer.json["results"];
    for (at, id) in [(0, json!("e-1")), (2, json!("half")), (7, json!(null)), (8, json!("e-3"))] {
        assert_eq!(results[at].get("event_id").cloned().unwrap_or_default(), id, "{at}");
    }
    for (again, original) in [(1, &first.json), (4, &first.json), (3, &results[0]), (5, &results[0])] {
        for id in ["run_id", "session_id"] {
            assert_eq!(results[again][id], original[id], "{again}");
        }
    }
    assert!(results[6]["reason"].as_str().unwrap().contains("intent"));
    for (status, count) in [("accepted", 3.0), ("duplicate", 2.0), ("rejected", 5.0)] {
        let series = format!("ingress_total{{connector=\"bridge\",status=\"{status}\"}}");
        assert_eq!(sidecar::metric(&host, &series).await, count, "{series}");
    }
}

#[tokio::test]
async fn a_batch_has_an_end_and_a_version() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let events = |count: usize| -> Vec<Value> { (0..count).map(|n| event(&format!("e-{n}"), "x")).collect() };
    host.refuses(400, "batch_too_large", send_all(&host, "bridge", &events(65))).await;
    assert_eq!(send_all(&host, "bridge", &[]).await.expect(200).json, json!({ "results": [] }));
    let to = sender(&host, "bridge").bearer(TOKEN).at("/events/batch");
    let unknown = to.post(&json!({ "protocol_version": 3, "events": events(2) })).await.expect(200);
    assert_eq!(statuses(&unknown.json), ["rejected", "rejected"]);
    assert!(unknown.text("/results/0/reason").contains("unsupported protocol_version 3"), "{}", unknown.json);
    let old = to.post(&json!({ "protocol_version": 1, "events": events(64) })).await.expect(200);
    assert_eq!(statuses(&old.json), ["accepted"; 64]);
    let run = host.run(old.text("/results/0/run_id")).await;
    assert_eq!(run["input_metadata"]["external_protocol_version"], 1);
}

#[tokio::test]
async fn an_event_that_is_held_up_holds_up_no_other() {
    let sidecar = Sidecar::start().await;
    let slow = sidecar.connector("slow", "").replace("100000", "3");
    let strict = sidecar.connector("strict", "").replace("create_if_missing = true", "create_if_missing = false");
    let host = builder(&sidecar, "").connectors(format!("{slow}{strict}")).start().await;
    let events: Vec<Value> = (0..5).map(|n| event(&format!("e-{n}"), "x")).collect();
    let answer = send_all(&host, "slow", &events).await.expect(200);
    assert_eq!(statuses(&answer.json), ["accepted", "accepted", "accepted", "rate_limited", "rate_limited"]);
    assert!(answer.json["results"][3]["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 1), "{}", answer.json);
    assert_eq!(answer.json["results"][3]["retryable"], true, "{}", answer.json);
    assert!(answer.json["results"][0].get("retryable").is_none(), "{}", answer.json);
    let again = send_all(&host, "slow", &events[..3]).await.expect(200);
    assert_eq!(statuses(&again.json), ["duplicate"; 3]);
    host.make_session("known").await;
    let nobody = send_all(&host, "strict", &events[..1]).await.expect(200);
    assert_eq!(statuses(&nobody.json), ["error"]);
    assert!(nobody.text("/results/0/reason").contains("create_if_missing"), "{}", nobody.json);
    let alone = send(&host, "strict", &events[0]).await.expect(409);
    error_is(&nobody.json["results"][0], &alone, &json!(false));
}

/// A result of a batch that says what the event heard alone.
#[track_caller]
fn error_is(result: &Value, alone: &Answer, retryable: &Value) {
    assert_eq!(
        (&result["status"], &result["retryable"], &result["http_status"], &result["code"], &result["reason"]),
        (&json!("error"), retryable, &alone.json["status"], &alone.json["code"], &alone.json["detail"])
    );
}

/// What the store is told by somebody else.
struct Told(&'static str);

impl Command for Told {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for Self(text) in batch {
            tx.execute(Query::new(*text)).await?;
        }
        Ok(vec![(); batch.len()])
    }
}

async fn tell_the_store(host: &Host, text: &'static str) {
    let metrics = Metrics::new().unwrap();
    let store = Store::open_sqlite(&host.state_folder(), &StoreSettings::default(), metrics).await.unwrap();
    store.write(Told(text)).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_event_that_the_store_does_not_take_is_to_be_sent_again() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let events = [event("e-0", "zero"), event("e-1", "one")];
    send(&host, "bridge", &events[0]).await.expect(200);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON receipts BEGIN SELECT RAISE(ABORT, 'a test refuses it'); END";
    tell_the_store(&host, refuse).await;
    let answer = send_all(&host, "bridge", &events).await.expect(200);
    assert_eq!(statuses(&answer.json), ["duplicate", "error"]);
    let alone = send(&host, "bridge", &events[1]).await.expect(500);
    error_is(&answer.json["results"][1], &alone, &json!(true));
    tell_the_store(&host, "DROP TRIGGER refuse").await;
    assert_eq!(statuses(&send_all(&host, "bridge", &events).await.expect(200).json), ["duplicate", "accepted"]);
}

#[tokio::test]
async fn five_hundred_events_are_five_hundred_runs_however_they_come() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "include_self_output = false").await;
    let events: Vec<Value> = (0..500)
        .map(|n| event_with(&format!("e-{n}"), &json!({ "thread": { "path": ["guild", (n % 7).to_string()] } })))
        .collect();
    let mut runs = BTreeSet::new();
    for sent in &events {
        runs.insert(send(&host, "bridge", sent).await.expect(200).text("/run_id").to_owned());
    }
    assert_eq!(runs.len(), 500);
    let before = Scrape::of(&host).await.value("writer_commit_seconds_count");
    for chunk in events.chunks(64) {
        let answer = send_all(&host, "bridge", chunk).await.expect(200);
        assert!(statuses(&answer.json).iter().all(|status| *status == "duplicate"), "{}", answer.json);
    }
    let commits = Scrape::of(&host).await.value("writer_commit_seconds_count") - before;
    assert!(commits < 100.0, "{commits} commits for eight batches");
    let others: Vec<Value> =
        (500..1000).map(|n| event_with(&format!("e-{n}"), &json!({ "routing_key": "k" }))).collect();
    for chunk in others.chunks(64) {
        let answer = send_all(&host, "bridge", chunk).await.expect(200);
        for result in answer.json["results"].as_array().unwrap() {
            assert_eq!(result["status"], "accepted");
            runs.insert(result["run_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(runs.len(), 1000);
}
