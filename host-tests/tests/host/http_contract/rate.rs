//! Events per second: what spends a token, and what is told to whoever has none.

use futures_util::future::{join, join_all};
use kheish_host_tests::{connectors::Http, host::Host, problem::INGRESS, sender::Sender, wait::eventually};
use serde_json::json;

use super::TOKEN;

async fn slow(rate: u32) -> (Host, Sender) {
    let connector = Http::named("orders").bearer(TOKEN).set(format!("ingress_events_per_second = {rate}"));
    let host = Host::builder().connectors(connector).start().await;
    let sender = host.sender("orders").bearer(TOKEN);
    (host, sender)
}

#[tokio::test]
async fn whoever_is_too_fast_is_told_when_to_come_back() {
    let (host, sender) = slow(1).await;
    let keys: Vec<String> = (0..24).map(|n| format!("k{n}")).collect();
    let answers = join_all(keys.iter().map(|key| sender.say(key, "room", "a"))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!taken.is_empty() && !refused.is_empty(), "{} taken, {} refused", taken.len(), refused.len());
    for answer in &refused {
        let detail = answer.problem(429, INGRESS, "http_ingress_rate_limited");
        let wait: u64 = answer.header("retry-after").parse().unwrap_or_default();
        assert_eq!(wait, 1, "a token flows in each second");
        assert!(detail.contains("retry_after_ms="), "{detail}");
    }
    assert_eq!(host.ledger().await["runs"]["queued"], taken.len());
    eventually("there is a token again", async || (sender.say("late", "room", "a").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn duplicates_spend_nothing() {
    let (_host, sender) = slow(2).await;
    sender.say("k1", "room", "a").await.expect(200);
    for _ in 0..40 {
        let again = sender.say("k1", "room", "a").await.expect(200);
        assert_eq!(again.header("kheish-receipt"), "duplicate");
    }
    sender.say("k2", "room", "a").await.expect(200);
}

#[tokio::test]
async fn duplicates_are_answered_over_the_rate_and_conflicts_stay_conflicts() {
    let (_host, sender) = slow(1).await;
    let first = sender.say("k1", "room", "a").await.expect(200);
    // Each round empties the bucket and then asks again, so that most questions find it empty.
    for round in 0..10 {
        sender.say(&format!("filler {round}"), "room", "a").await;
        let again = sender.say("k1", "room", "a").await.expect(200);
        assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
        sender.say("k1", "room", "b").await.problem(409, INGRESS, "idempotency_conflict");
    }
}

#[tokio::test]
async fn refusals_spend_nothing() {
    let (host, sender) = slow(2).await;
    sender.say("k1", "room", "a").await.expect(200);
    for _ in 0..10 {
        host.sender("orders").say("k2", "room", "a").await.expect(401);
        sender.post_bytes("{").await.expect(400);
        sender.post(&json!({ "binding_keys": ["room"], "content": "no key" })).await.expect(400);
        sender.post(&json!({ "idempotency_key": "k3", "content": "no session" })).await.expect(400);
        sender.say("k1", "room", "another payload").await.expect(409);
    }
    sender.say("k4", "room", "a").await.expect(200);
}

#[tokio::test]
async fn duplicates_in_flight_do_not_crowd_out_a_new_event() {
    let (_host, sender) = slow(2).await;
    sender.say("k1", "room", "a").await.expect(200);
    let duplicates = join_all((0..16).map(|_| sender.say("k1", "room", "a")));
    let (answers, fresh) = join(duplicates, sender.say("k2", "room", "a")).await;
    answers.into_iter().for_each(|answer| assert_eq!(answer.status, 200));
    assert_eq!(fresh.status, 200, "{}", fresh.json);
}

#[tokio::test]
async fn connectors_have_buckets_of_their_own() {
    let slow = Http::named("slow").bearer(TOKEN).set("ingress_events_per_second = 1");
    let quick = Http::named("quick").bearer(TOKEN).fast();
    let host = Host::builder().connectors(format!("{slow}{quick}")).start().await;
    let (slow, quick) = (host.sender("slow").bearer(TOKEN), host.sender("quick").bearer(TOKEN));
    for n in 0..50 {
        slow.say(&format!("k{n}"), "room", "a").await;
        quick.say(&format!("k{n}"), "room", "a").await.expect(200);
    }
}
