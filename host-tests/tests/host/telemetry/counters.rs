//! Counters move as they should, and only those.

use kheish_host_tests::{
    connectors::Http,
    host::Host,
    receiver::{Receiver, Reply},
    scrape::Scrape,
    sign::now_secs,
};
use serde_json::json;

use super::{QUICK, TOKEN, builder, sender};

fn verdict(name: &str) -> String {
    format!("ingress_requests_total{{connector_kind=\"http\",verdict=\"{name}\"}}")
}

async fn all(host: &Host) -> f64 {
    let scrape = Scrape::of(host).await;
    let requests = scrape.samples.iter().filter(|(series, _)| series.starts_with("kheish_ingress_requests_total"));
    requests.map(|(_, count)| count).sum()
}

/// Asserts that a request moved this verdict by one, and no other.
async fn moves(host: &Host, name: &str, request: impl Future<Output = u16>) -> u16 {
    let (before, sum) = (Scrape::of(host).await.value(&verdict(name)), all(host).await);
    let status = request.await;
    assert_eq!(Scrape::of(host).await.value(&verdict(name)), before + 1.0, "{name}");
    assert_eq!(all(host).await, sum + 1.0, "{name}");
    status
}

#[tokio::test]
async fn requests_are_counted_by_what_became_of_them() {
    let signed = Http::named("signed").hmac("key").fast();
    let slow = Http::named("slow").bearer(TOKEN).set("ingress_events_per_second = 1");
    let orders = Http::named("orders").bearer(TOKEN).fast();
    let settings = "[server]\nbody_limit_bytes = 2000\n";
    let host = Host::builder().connectors(format!("{orders}{signed}{slow}")).settings(settings).start().await;
    let sender = sender(&host);
    let status = async |answer: kheish_host_tests::client::Answer| answer.status;
    assert_eq!(moves(&host, "accepted", async { status(sender.say("k", "room", "a").await).await }).await, 200);
    assert_eq!(moves(&host, "duplicate", async { status(sender.say("k", "room", "a").await).await }).await, 200);
    assert_eq!(moves(&host, "conflict", async { status(sender.say("k", "room", "b").await).await }).await, 409);
    let stranger = host.sender("orders").bearer("wrong");
    assert_eq!(moves(&host, "unauthenticated", async { stranger.say("k", "room", "a").await.status }).await, 401);
    let forger = host.sender("signed").hmac("other key");
    assert_eq!(moves(&host, "bad_signature", async { forger.say("k", "room", "a").await.status }).await, 401);
    let late = host.sender("signed").header("x-kheish-timestamp", &(now_secs() - 4_000).to_string());
    let late = late.header("x-kheish-signature", &format!("v1={}", "0".repeat(64)));
    assert_eq!(moves(&host, "stale", async { late.say("k", "room", "a").await.status }).await, 401);
    let long = "x".repeat(3_000);
    assert_eq!(moves(&host, "too_large", async { sender.say("k2", "room", &long).await.status }).await, 413);
    assert_eq!(moves(&host, "refused", async { sender.post(&json!({ "content": "a" })).await.status }).await, 400);
    let scrape = Scrape::of(&host).await;
    assert_eq!(scrape.value("ingress_ack_seconds_count"), 2.0, "refusals are not acknowledged");
    let calls = scrape.value("guest_call_seconds_count{connector_kind=\"http\"}");
    assert_eq!(calls, 4.0, "accepted, duplicate, conflict and refused reached the guest");
    let unknown = "ingress_requests_total{connector_kind=\"unknown\",verdict=\"unknown_connector\"}";
    host.sender("nobody").say("k", "room", "a").await.expect(404);
    assert_eq!(Scrape::of(&host).await.value(unknown), 1.0);
    let hasty = host.sender("slow").bearer(TOKEN);
    for n in 0..20 {
        hasty.say(&format!("k{n}"), "room", "a").await;
    }
    assert!(Scrape::of(&host).await.value(&verdict("rate_limited")) >= 1.0);
}

#[tokio::test]
async fn a_plugin_that_fails_is_told_apart() {
    let connectors = kheish_host_tests::connectors::misbehaving("trap");
    let host = Host::builder().plugins(&[kheish_host_tests::host::MISBEHAVING]).connectors(connectors).start().await;
    host.misbehaving("trap").say("k", "room", "a").await.expect(502);
    let failed = "ingress_requests_total{connector_kind=\"misbehaving\",verdict=\"failed\"}";
    assert_eq!(Scrape::of(&host).await.value(failed), 1.0);
}

#[tokio::test]
async fn runs_and_leases_are_counted() {
    let host = Host::builder().plugins(&[]).settings(QUICK).start().await;
    let worker = host.worker("w");
    for session in ["a", "b", "c"] {
        host.make_session(session).await;
    }
    let submit = async |session: &str| drop(host.submit(session, &json!({ "content": "x" })).await.expect(202));
    submit("a").await;
    let done = worker.take().await;
    worker.finish(&done, &[]).await.expect(200);
    // The same call again is no second end.
    worker.finish(&done, &[]).await.expect(200);
    submit("b").await;
    let given_back = worker.take().await;
    worker.fail(&given_back, "again", true).await.expect(200);
    let failed = worker.take().await;
    worker.fail(&failed, "broken", false).await.expect(200);
    let scrape = Scrape::of(&host).await;
    let ended = |scrape: &Scrape, outcome: &str| scrape.value(&format!("runs_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((ended(&scrape, "completed"), ended(&scrape, "requeued"), ended(&scrape, "failed")), (1.0, 1.0, 1.0));
    assert_eq!((scrape.value("lease_lost_total"), scrape.value("fenced_writes_total")), (0.0, 0.0));
    submit("c").await;
    let late = worker.take_for(100).await;
    let scrape = Scrape::when(&host, "lease_lost_total", 1.0).await;
    assert_eq!(ended(&scrape, "requeued"), 2.0);
    worker.finish(&late, &[]).await.expect(409);
    worker.heartbeat(&late, 1_000).await.expect(409);
    assert_eq!(Scrape::of(&host).await.value("fenced_writes_total"), 2.0);
    assert_eq!(scrape.value("run_start_latency_seconds_count"), 3.0, "a later claim is no start");
    assert!(scrape.value("writer_commit_seconds_count") > 5.0 && scrape.value("writer_batch_rows_sum") > 5.0);
}

#[tokio::test]
async fn attempts_to_deliver_are_counted_by_how_they_ended() {
    let receiver = Receiver::scripted(|request| match request.index {
        0 => Reply::With(429, "retry-after", "1".to_owned()),
        1 => Reply::Status(503),
        2 => Reply::Status(200),
        _ => Reply::Status(400),
    })
    .await;
    let host = builder(&receiver).executor("echo").start().await;
    let sender = sender(&host);
    let run = sender.say("k1", "room", "a").await.expect(200).text("/run_id").to_owned();
    host.deliveries_when(&run, 1, "delivered").await;
    let dead = sender.say("k2", "room", "a").await.expect(200).text("/run_id").to_owned();
    host.deliveries_when(&dead, 1, "dead_lettered").await;
    let scrape = Scrape::when(&host, "dead_letters", 1.0).await;
    for class in ["delivered", "retry", "rate_limited", "dead"] {
        assert_eq!(scrape.value(&format!("delivery_attempts_total{{class=\"{class}\"}}")), 1.0, "{class}");
    }
    assert_eq!(scrape.value("rate_limited_seconds_total{platform=\"http\"}"), 1.0);
    assert_eq!(scrape.value("deliveries{state=\"pending\"}"), 0.0);
}
