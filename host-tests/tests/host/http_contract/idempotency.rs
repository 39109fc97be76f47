//! One event, one run: keys, replays, conflicts.

use kheish_host_tests::{connectors::Http, host::Host, sender::event, sign::sha256_hex};
use serde_json::json;

use super::{TOKEN, orders};

#[tokio::test]
async fn a_key_is_needed_unless_the_operator_says_otherwise() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(400, "missing_idempotency_key", sender.post(&json!({ "binding_keys": ["room"], "content": "a" })))
        .await;
    for blank in ["", "   ", "\t\n"] {
        host.refuses(400, "missing_idempotency_key", sender.say(blank, "room", "a")).await;
    }
    host.refuses(
        400,
        "missing_idempotency_key",
        sender.post(&json!({ "idempotency_key": null, "binding_keys": ["room"], "content": "a" })),
    )
    .await;
}

#[tokio::test]
async fn without_keys_every_call_is_an_event() {
    let (host, sender) = orders(|http| http.set("require_idempotency_key = false")).await;
    let payload = json!({ "binding_keys": ["room"], "content": "a" });
    let first = sender.post(&payload).await.expect(200);
    let second = sender.post(&payload).await.expect(200);
    assert_ne!(first.text("/run_id"), second.text("/run_id"));
    assert!(first.json["input_metadata"].get("http_ingress_key").is_none());
    // A key that is there counts all the same.
    let first = sender.say("k1", "room", "a").await.expect(200);
    let again = sender.say("k1", "room", "a").await.expect(200);
    assert_eq!(first.text("/run_id"), again.text("/run_id"));
    assert_eq!(host.ledger().await["runs"]["queued"], 3);
}

#[tokio::test]
async fn a_key_is_trimmed() {
    let (host, sender) = orders(|http| http).await;
    let padded = sender.say("  order 7\t", "room", "a").await.expect(200);
    assert_eq!(padded.text("/input_metadata/http_ingress_key_sha256"), sha256_hex("order 7"));
    host.refuses(409, "idempotency_conflict", sender.say("order 7", "room", "b")).await;
    let other = sender.say("order  7", "room", "a").await.expect(200);
    assert_ne!(padded.text("/run_id"), other.text("/run_id"));
}

#[tokio::test]
async fn a_replay_is_answered_with_the_first_run_however_it_is_written() {
    let (host, sender) = orders(|http| http).await;
    let first = sender
        .post_bytes(r#"{"idempotency_key":"k1","binding_keys":["room"],"content":"a","metadata":{"x":1,"y":[2,3]}}"#)
        .await
        .expect(200);
    assert_eq!(first.header("kheish-receipt"), "accepted");
    let same = [
        r#"{"idempotency_key":"k1","binding_keys":["room"],"content":"a","metadata":{"x":1,"y":[2,3]}}"#,
        r#"{"metadata":{"y":[2,3],"x":1},"content":"a","binding_keys":["room"],"idempotency_key":"k1"}"#,
        "\n{ \"content\" : \"a\",\r\n\t\"metadata\": { \"x\": 1, \"y\": [ 2, 3 ] }, \"idempotency_key\":\"k1\", \"binding_keys\":[\"room\"] }\n",
        r#"{"idempotency_key":"k1","binding_keys":["room"],"content":"\u0061","metadata":{"x":1,"y":[2,3]}}"#,
    ];
    for body in same {
        let again = sender.post_bytes(body).await.expect(200);
        assert_eq!(again.header("kheish-receipt"), "duplicate", "{body}");
        assert_eq!(again.text("/run_id"), first.text("/run_id"));
    }
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn a_replay_shows_the_run_as_it_stands_now() {
    let (host, sender) = orders(|http| http).await;
    let run = sender.say("k1", "room", "a").await.expect(200).text("/run_id").to_owned();
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(sender.say("k1", "room", "a").await.expect(200).text("/status"), "running");
    worker.finish(&claimed, &["done"]).await.expect(200);
    let again = sender.say("k1", "room", "a").await.expect(200);
    assert_eq!((again.text("/status"), again.text("/outputs/0/content")), ("completed", "done"));
    assert_eq!(again.text("/run_id"), run);
}

#[tokio::test]
async fn the_key_with_another_payload_is_a_conflict_and_changes_nothing() {
    let (host, sender) = orders(|http| http).await;
    let first = sender.say("k1", "room", "a").await.expect(200);
    let mut others = vec![event("k1", "room", "b"), event("k1", "other room", "a")];
    for (member, value) in [("actor_id", json!("me")), ("metadata", json!({ "x": 1 })), ("session_id", json!("s"))] {
        let mut other = event("k1", "room", "a");
        other[member] = value;
        others.push(other);
    }
    for other in others {
        host.refuses(409, "idempotency_conflict", sender.post(&other)).await;
    }
    let again = sender.say("k1", "room", "a").await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
}

#[tokio::test]
async fn keys_of_two_connectors_are_apart() {
    let connectors = ["one", "two"].map(|name| Http::named(name).bearer(TOKEN).to_string()).concat();
    let host = Host::builder().connectors(connectors).start().await;
    let first = host.sender("one").bearer(TOKEN).say("k1", "room", "a").await.expect(200);
    let second = host.sender("two").bearer(TOKEN).say("k1", "hall", "b").await.expect(200);
    assert_eq!(second.header("kheish-receipt"), "accepted");
    assert_ne!(first.text("/run_id"), second.text("/run_id"));
}
