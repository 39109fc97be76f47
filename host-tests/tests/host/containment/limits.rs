//! One call alone: how long it may take, and what stays of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kheish_host_tests::{
    connectors::misbehaving,
    host::{Host, MISBEHAVING},
    problem::INGRESS,
};

use super::builder;

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let host = builder(&["loop"]).settings("[guests]\ningress_deadline_ms = 400\n").start().await;
    let started = Instant::now();
    let answer = host.refuses(504, "connector_timeout", host.misbehaving("loop").post_bytes("x")).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(3), "{took:?}");
    assert!(answer.text("/detail").contains("nothing was accepted"), "{}", answer.json);
}

#[tokio::test]
async fn the_reason_of_a_failure_is_in_the_log_and_not_in_the_answer() {
    let host = builder(&["trap"]).start().await;
    let answer = host.refuses(502, "connector_failed", host.misbehaving("trap").post_bytes("x")).await;
    assert!(!answer.text("/detail").contains("told to trap"), "{}", answer.json);
    host.logs("told to trap").await;
}

#[tokio::test]
async fn memory_is_bounded_by_the_setting() {
    let settings = "[guests]\nmemory_bytes = 4194304\n";
    let host = builder(&["allocate", "well"]).settings(settings).start().await;
    host.refuses(502, "connector_failed", host.misbehaving("allocate").post_bytes("x")).await;
    host.logs("the limit is 4194304").await;
    host.misbehaving("well").post_bytes("small").await.expect(200);
}

#[tokio::test]
async fn calls_beyond_the_connectors_share_wait_and_are_then_sent_away() {
    let settings = "[guests]\ningress_deadline_ms = 1500\nqueue_timeout_ms = 100\ncalls_per_connector = 1\n";
    let host = builder(&["loop", "well"]).settings(settings).start().await;
    let bad = host.misbehaving("loop");
    let answers = join_all((0..4).map(|_| bad.post_bytes("x"))).await;
    let (timeouts, away): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 504);
    assert!(!timeouts.is_empty() && !away.is_empty(), "{} and {}", timeouts.len(), away.len());
    for answer in away {
        answer.problem(503, INGRESS, "overloaded");
        assert!(!answer.header("retry-after").is_empty());
    }
    host.misbehaving("well").post_bytes("x").await.expect(200);
}

#[tokio::test]
async fn a_guest_may_answer_by_itself_and_nothing_is_accepted() {
    let host = builder(&["respond"]).start().await;
    let before = host.ledger().await;
    let answer = host.misbehaving("respond").post_bytes("x").await.expect(202);
    assert_eq!((answer.header("x-test-answer"), answer.text("/said")), ("yes", "hello"));
    assert_eq!(answer.header("kheish-receipt"), "");
    assert_eq!(host.ledger().await, before);
}

#[tokio::test]
async fn a_guest_that_never_ends_checking_its_settings_keeps_the_daemon_from_starting() {
    let ended = Host::builder()
        .plugins(&[MISBEHAVING])
        .connectors(misbehaving("slow-settings"))
        .settings("[guests]\ndescribe_deadline_ms = 200\n")
        .run_to_end()
        .await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("misbehaving/slow-settings") && ended.stderr.contains("200 ms"), "{}", ended.stderr);
}
