//! Deliveries through a guest: what it is given, and what follows from what it says.

use kheish_host_tests::{
    connectors::{outbox, outbox_target},
    host::Host,
    receiver::{Receiver, Reply},
    sender::Sender,
    wait::eventually,
};
use serde_json::{Value, json};

use super::{QUICK, say, submit, with_outbox};

/// A target of `outbox/main` whose deliveries end like this.
pub(super) fn ends(answer: &str) -> Value {
    outbox_target("main", &json!({ "answer": answer }))
}

/// What the guest has sent, in order.
pub(super) fn sent(host: &Host) -> Vec<String> {
    let log = host.log();
    let lines = log.lines().filter_map(|line| line.split_once(" sends \"")?.1.split_once('"'));
    lines.map(|(text, _)| text.to_owned()).collect()
}

/// The one delivery of a text to this target, once it has this status.
async fn deliver(host: &Host, target: Value, status: &str) -> Value {
    let run = say(host, "s", &[target], &["hello"]).await;
    host.deliveries_when(&run, 1, status).await.remove(0)
}

#[track_caller]
fn assert_ended(delivery: &Value, attempts: i64, code: &str) {
    assert_eq!(
        (&delivery["attempts"], &delivery["last_error"]["code"]),
        (&json!(attempts), &json!(code)),
        "{delivery}"
    );
    assert!(delivery.get("platform_id").is_none(), "{delivery}");
}

#[tokio::test]
async fn a_text_goes_out_and_what_the_platform_calls_it_comes_back() {
    let host = with_outbox().start().await;
    let delivery = deliver(&host, ends("ok"), "delivered").await;
    let id = delivery["delivery_id"].as_str().unwrap_or_default();
    assert_eq!(delivery["platform_id"], format!("1/kheish:{id}"), "the first attempt, and its idempotency key");
    assert_eq!((&delivery["attempts"], &delivery["plugin"]), (&json!(1), &json!("outbox")));
    assert!(delivery["delivered_at_ms"].as_i64().is_some() && delivery.get("last_error").is_none(), "{delivery}");
    host.logs("main sends \"hello\", attempt 1").await;
}

#[tokio::test]
async fn what_may_succeed_later_is_tried_again_under_the_same_key() {
    let host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "retryable", "well_from": 2 }));
    let delivery = deliver(&host, target, "delivered").await;
    let id = delivery["delivery_id"].as_str().unwrap_or_default();
    assert_eq!(delivery["platform_id"], format!("2/kheish:{id}"));
    assert!(delivery.get("last_error").is_none(), "{delivery}");
}

#[tokio::test]
async fn what_never_succeeds_becomes_a_dead_letter_after_the_last_attempt() {
    let host = with_outbox().start().await;
    assert_ended(&deliver(&host, ends("retryable"), "dead_lettered").await, 3, "busy");
}

#[tokio::test]
async fn what_cannot_be_done_is_tried_once() {
    let host = with_outbox().start().await;
    let delivery = deliver(&host, ends("terminal"), "dead_lettered").await;
    assert_ended(&delivery, 1, "channel_not_found");
    assert_eq!(delivery["last_error"]["detail"], "There is no such channel.");
}

#[tokio::test]
async fn what_a_platform_says_is_kept_without_secrets() {
    let host = with_outbox().start().await;
    let secret = json!({ "slot_id": "mine", "state": { "value": "value-of-mine" } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    let says = json!({ "answer": "terminal", "reason": "The token value-of-mine was revoked." });
    let delivery = deliver(&host, outbox_target("main", &says), "dead_lettered").await;
    assert_eq!(delivery["last_error"]["detail"], "The token [masked] was revoked.");
}

#[tokio::test]
async fn what_nobody_knows_is_not_sent_again_and_holds_up_nobody() {
    let mut host = with_outbox().start().await;
    let run = say(&host, "s", &[ends("unknown")], &["one", "two"]).await;
    for delivery in host.deliveries_when(&run, 2, "unknown").await {
        assert_ended(&delivery, 1, "no.answer");
        assert!(delivery.get("dead_lettered_at_ms").is_none() && delivery.get("delivered_at_ms").is_none());
    }
    host.logs("sends \"two\"").await;
    assert_eq!(sent(&host), ["one", "two"]);
    host.restart().await;
    let next = say(&host, "t", &[ends("unknown")], &["three"]).await;
    host.deliveries_when(&next, 1, "unknown").await;
    host.logs("sends \"three\"").await;
    assert_eq!(sent(&host), ["three"], "after a restart too");
}

#[tokio::test]
async fn a_wait_that_the_platform_asks_for_is_kept_capped_and_not_counted() {
    let host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "retryable", "retry_after_ms": 90_000_000_000_u64 }));
    let run = say(&host, "s", &[target], &["hello"]).await;
    let delivery = eventually("the first attempt is settled", async || {
        let delivery = host.run(&run).await["deliveries"][0].clone();
        delivery["last_error"].is_object().then_some(delivery)
    })
    .await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("retrying"), &json!(0)), "{delivery}");
    let now = host.get("/v1/status").await.expect(200).json["snapshot_at_ms"].as_i64().unwrap_or_default();
    let wait = delivery["next_attempt_at_ms"].as_i64().unwrap_or_default() - now;
    assert!((3_500_000..=3_600_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn how_long_a_wait_can_be_asked_for_is_a_setting() {
    let settings = QUICK.replace("[delivery]\n", "[delivery]\nmax_retry_after_ms = 7200000\n");
    let receiver = Receiver::scripted(|_| Reply::With(429, "retry-after", "90000".to_owned())).await;
    let host = with_outbox().settings(&settings).start().await;
    let guest = outbox_target("main", &json!({ "answer": "retryable", "retry_after_ms": 90_000_000_u64 }));
    let run = say(&host, "s", &[guest, receiver.target_json("/in")], &["hello"]).await;
    let deliveries = host.deliveries_when(&run, 2, "retrying").await;
    let now = host.get("/v1/status").await.expect(200).json["snapshot_at_ms"].as_i64().unwrap_or_default();
    for delivery in deliveries {
        let wait = delivery["next_attempt_at_ms"].as_i64().unwrap_or_default() - now;
        assert!((7_100_000..=7_200_000).contains(&wait), "{delivery}");
    }
}

#[tokio::test]
async fn a_guest_that_fails_is_called_again_and_then_given_up() {
    let settings = format!("{QUICK}[guests]\ndelivery_deadline_ms = 200\n");
    let host = with_outbox().settings(&settings).start().await;
    // The route of one that traps comes with an event: a check of it would trap too.
    let trapping = json!({ "text": "hello", "reply_route": { "answer": "trap" } });
    let answer = Sender::new(host.client(), "outbox", "main").post(&trapping).await.expect(200);
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &["hello"]).await.expect(200);
    let delivery = host.deliveries_when(answer.text("/run_id"), 1, "dead_lettered").await.remove(0);
    assert_ended(&delivery, 3, "connector_failed");
    host.logs("this delivery was told to trap").await;
    let run = say(&host, "loop", &[ends("loop")], &["hello"]).await;
    assert_ended(&host.deliveries_when(&run, 1, "dead_lettered").await.remove(0), 3, "connector_timeout");
    let run = say(&host, "garbage", &[ends("garbage")], &["hello"]).await;
    assert_ended(&host.deliveries_when(&run, 1, "dead_lettered").await.remove(0), 3, "connector_failed");
    host.logs("a receipt's platform id has 1 to 512 bytes").await;
    host.logs("it failed with code \"Not A Code\"").await;
}

#[tokio::test]
async fn deliveries_of_one_route_go_in_order_however_it_was_written() {
    let host = with_outbox().start().await;
    let spelled = |lane: &str| {
        let address =
            format!("{{ \"lane\": \"{lane}\", \"well_from\": 2, \"answer\": \"retryable\", \"connector\": \"main\" }}");
        json!({ "plugin": "outbox", "address": address })
    };
    let first = say(&host, "a", &[spelled("Loud")], &["1", "2"]).await;
    let second = say(&host, "b", &[spelled("loud")], &["3"]).await;
    host.deliveries_when(&first, 2, "delivered").await;
    let last = host.deliveries_when(&second, 1, "delivered").await.remove(0);
    host.logs("sends \"3\", attempt 2").await;
    assert_eq!(sent(&host), ["1", "1", "2", "2", "3", "3"]);
    assert_eq!(last["target"], host.run(&first).await["deliveries"][0]["target"], "one normal form");
    // Named twice, in two spellings, it is one target.
    let run = submit(&host, "b", &[spelled("LOUD"), spelled("loud")]).await;
    assert_eq!(host.run(&run).await["reply_targets"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_was_being_sent_when_the_daemon_died_is_unknown() {
    let mut host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "loop", "well_from": 2 }));
    let run = say(&host, "s", &[target], &["hello"]).await;
    host.logs("attempt 1").await;
    host.restart().await;
    assert_ended(&host.deliveries_when(&run, 1, "unknown").await.remove(0), 1, "interrupted");
    assert!(!host.log().contains("attempt 2"));
}

#[tokio::test]
async fn durable_state_is_committed_with_what_becomes_of_the_delivery() {
    let mut host = with_outbox().start().await;
    let counted = deliver(&host, ends("count"), "delivered").await;
    assert_eq!(counted["platform_id"], "1");
    let run = say(&host, "retry", &[ends("count-and-retry")], &["hello"]).await;
    let failed = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!(failed["last_error"]["detail"], "4 (attempt 3, the last)", "a failure that was said is an answer");
    let trapping = json!({ "text": "hello", "reply_route": { "answer": "count-and-trap" } });
    let answer = Sender::new(host.client(), "outbox", "main").post(&trapping).await.expect(200);
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &["hello"]).await.expect(200);
    host.deliveries_when(answer.text("/run_id"), 1, "dead_lettered").await;
    host.logs("this delivery counted to 5 and trapped").await;
    assert!(!host.log().contains("counted to 6"), "a call that trapped left something behind");
    host.restart().await;
    let run = say(&host, "t", &[ends("count")], &["hello"]).await;
    assert_eq!(host.deliveries_when(&run, 1, "delivered").await[0]["platform_id"], "5");
}

#[tokio::test]
async fn a_connector_that_is_gone_ends_its_deliveries() {
    let connectors = format!("{}{}", outbox("main", ""), outbox("other", ""));
    let mut host = with_outbox().connectors(connectors).start().await;
    host.make_session("s").await;
    let targets = [ends("ok"), outbox_target("other", &json!({ "answer": "ok" }))];
    let run = submit(&host, "s", &targets).await;
    host.kill();
    host.reconfigure(outbox("other", ""));
    host.restart().await;
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &["hello"]).await.expect(200);
    let deliveries = eventually("both have ended", async || {
        let deliveries = host.run(&run).await["deliveries"].as_array().cloned().unwrap_or_default();
        let ended = |one: &&Value| one["status"] == "delivered" || one["status"] == "dead_lettered";
        (deliveries.iter().filter(ended).count() == 2).then_some(deliveries)
    })
    .await;
    assert_eq!((&deliveries[0]["status"], &deliveries[1]["status"]), (&json!("dead_lettered"), &json!("delivered")));
    assert_ended(&deliveries[0], 1, "connector_gone");
}

#[tokio::test]
async fn a_slow_platform_shuts_out_no_caller() {
    let guests =
        "[guests]\ncalls_per_connector = 1\nconcurrent_calls = 1\nconcurrent_deliveries = 1\nqueue_timeout_ms = 50\n";
    let host = with_outbox().settings(&format!("{QUICK}{guests}")).start().await;
    let slow = ["a", "b", "c"].map(|lane| outbox_target("main", &json!({ "answer": "loop", "lane": lane })));
    let run = say(&host, "s", &slow, &["hello"]).await;
    host.logs("sends \"hello\"").await;
    let sender = Sender::new(host.client(), "outbox", "main");
    for text in ["one", "two", "three"] {
        sender.post(&json!({ "text": text })).await.expect(200);
    }
    // Those for whom there is no place wait in their lanes.
    let deliveries = host.run(&run).await["deliveries"].as_array().cloned().unwrap_or_default();
    let mut statuses: Vec<&str> = deliveries.iter().filter_map(|one| one["status"].as_str()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["pending", "pending", "sending"]);
}
