//! Look-ups that fail, and crashes while one is under way.

use kheish_host_tests::{host::Host, wait::eventually};
use serde_json::{Value, json};

use super::{delivery, did, finder, interrupted, recorded, say, target, times, undecided, when, with_finder};
use crate::delivery::QUICK;

/// Everything is unknown, and look-ups end like this.
fn finds(says: &str) -> Value {
    target(json!({ "answer": "unknown", "find": says }))
}

#[tokio::test]
async fn a_look_up_that_may_succeed_later_is_repeated_while_the_lane_waits() {
    let (host, run) = interrupted(json!({ "find": "retryable", "found_after": 2 }), &["one", "two"], "").await;
    let found = when(&host, &run, 0, "delivered").await;
    let id = found["delivery_id"].as_str().unwrap_or_default();
    assert_eq!(found["platform_id"], format!("3/kheish:{id}"), "what the calls wrote was committed each time");
    assert_eq!(found["attempts"], 1);
    host.logs("sends \"two\"").await;
    assert_eq!(did(&host)[..4], ["look one 1", "look one 1", "look one 1", "send two 1"]);
    assert_eq!(recorded(&host, &found).await, ["unknown interrupted", "look_up busy", "look_up busy", "look_up found"]);
}

#[tokio::test]
async fn after_the_last_look_up_the_policy_decides() {
    let host = with_finder("").start().await;
    for (says, code) in [("retryable", "busy"), ("unknown", "no.answer"), ("trap", "connector_failed")] {
        let run = say(&host, says, &[finds(says)], &[says]).await;
        let left = undecided(&host, &run, 0).await;
        assert_eq!((&left["last_error"]["code"], &left["attempts"]), (&json!(code), &json!(1)), "{left}");
        assert_eq!(times(&host, &format!("look {says} 1")), 3);
    }
    host.logs("this look-up was told to trap").await;
    let run = say(&host, "garbage", &[finds("garbage")], &["garbage"]).await;
    assert_eq!(undecided(&host, &run, 0).await["last_error"]["code"], "connector_failed");
    host.logs("a receipt's platform id has 1 to 512 bytes").await;
}

#[tokio::test]
async fn a_look_up_that_cannot_be_made_is_made_once() {
    let host = with_finder("").start().await;
    let run = say(&host, "s", &[finds("terminal")], &["one"]).await;
    assert_eq!(undecided(&host, &run, 0).await["last_error"]["code"], "history_closed");
    assert_eq!(times(&host, "look one 1"), 1);
}

#[tokio::test]
async fn a_look_up_takes_no_longer_than_a_delivery() {
    let settings = format!("{QUICK}[guests]\ndelivery_deadline_ms = 100\n");
    let host = with_finder("").settings(&settings).start().await;
    let run = say(&host, "s", &[finds("loop")], &["one"]).await;
    let left = undecided(&host, &run, 0).await;
    assert_eq!(left["last_error"]["code"], "connector_timeout");
    assert_eq!(times(&host, "look one 1"), 3);
}

#[tokio::test]
async fn a_connector_that_is_locked_out_asks_until_it_is_let_in() {
    let soon = format!("{QUICK}[delivery.pause]\ninitial_ms = 40\nmax_ms = 40\n");
    let mut host = with_finder("").settings(&soon).start().await;
    let run = say(&host, "s", &[finds("unauthorized")], &["one", "two"]).await;
    eventually("it asked more often than look-ups are counted", async || {
        (times(&host, "look one 1") > 4).then_some(())
    })
    .await;
    assert_eq!(times(&host, "send two 1"), 0, "the lane waits");
    host.kill();
    host.reconfigure(finder("find = \"sent\""));
    host.restart().await;
    host.deliveries_when(&run, 2, "delivered").await;
}

#[tokio::test]
async fn a_wait_that_the_platform_asks_for_is_kept_and_holds_the_lane() {
    let host = with_finder("").start().await;
    let route = json!({ "answer": "unknown", "find": "retryable", "retry_after_ms": 90_000_000_000_u64 });
    let run = say(&host, "s", &[target(route)], &["one", "two"]).await;
    let waits = eventually("the platform asked to wait", async || {
        let one = delivery(&host, &run, 0).await;
        (one["last_error"]["code"] == "busy").then_some(one)
    })
    .await;
    let now = host.get("/v1/status").await.expect(200).json["snapshot_at_ms"].as_i64().unwrap_or_default();
    let wait = waits["next_look_up_at_ms"].as_i64().unwrap_or_default() - now;
    assert!((3_500_000..=3_600_000).contains(&wait), "{waits}");
    assert!(waits["status"] == "unknown" && waits.get("next_attempt_at_ms").is_none(), "{waits}");
    assert_eq!(did(&host), ["send one 1", "look one 1"]);
}

/// A look-up is under way.
async fn looking(host: &Host, run: &str) {
    host.logs("looks for \"one\"").await;
    assert_eq!(delivery(host, run, 0).await["status"], "unknown");
}

#[tokio::test]
async fn a_crash_during_a_look_up_is_followed_by_another_look_up() {
    let (mut host, run) = interrupted(json!({ "find": "loop" }), &["one", "two"], "").await;
    for _ in 0..2 {
        looking(&host, &run).await;
        assert_eq!(did(&host), ["look one 1"]);
        host.kill();
        host.restart().await;
    }
    looking(&host, &run).await;
    host.kill();
    host.reconfigure(finder("find = \"sent\""));
    host.restart().await;
    let found = when(&host, &run, 0, "delivered").await;
    host.logs("sends \"two\"").await;
    assert_eq!(did(&host)[..2], ["look one 1", "send two 1"]);
    let id = found["delivery_id"].as_str().unwrap_or_default();
    assert_eq!(found["platform_id"], format!("1/kheish:{id}"), "nothing of a look-up that broke off is kept");
    assert_eq!(
        recorded(&host, &found).await,
        ["unknown interrupted", "look_up interrupted", "look_up interrupted", "look_up interrupted", "look_up found"]
    );
}

#[tokio::test]
async fn a_kind_that_looks_nothing_up_any_more_leaves_it_to_the_policy() {
    let (mut host, run) = interrupted(json!({ "find": "loop" }), &["one"], "").await;
    looking(&host, &run).await;
    host.kill();
    host.reconfigure("");
    host.restart().await;
    assert_eq!(undecided(&host, &run, 0).await["last_error"]["code"], "look_up_gone");
}
