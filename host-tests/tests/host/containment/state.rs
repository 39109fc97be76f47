//! A guest's durable state changes with its events, or not at all.

use kheish_host_tests::{problem::INGRESS, sender::Sender};

use super::builder;

async fn count(sender: &Sender, id: &str) -> (String, String) {
    let answer = sender.clone().header("x-test-id", id).post_bytes("x").await.expect(200);
    (answer.text("/input/0/text").to_owned(), answer.header("kheish-receipt").to_owned())
}

fn pair(count: &str, receipt: &str) -> (String, String) {
    (count.to_owned(), receipt.to_owned())
}

#[tokio::test]
async fn it_is_committed_with_the_event_and_outlives_the_process() {
    let mut host = builder(&["counter"]).start().await;
    let sender = host.misbehaving("counter");
    assert_eq!(count(&sender, "a").await, pair("1", "accepted"));
    assert_eq!(count(&sender, "b").await, pair("2", "accepted"));
    host.kill();
    host.restart().await;
    assert_eq!(count(&host.misbehaving("counter"), "c").await, pair("3", "accepted"));
}

#[tokio::test]
async fn what_is_refused_by_the_host_is_not_committed() {
    let host = builder(&["counter"]).start().await;
    let sender = host.misbehaving("counter");
    assert_eq!(count(&sender, "a").await, pair("1", "accepted"));
    // The count is in the text: the same id again says another number, which is a conflict.
    for _ in 0..3 {
        let again = sender.clone().header("x-test-id", "a").post_bytes("x").await;
        again.problem(409, INGRESS, "idempotency_conflict");
    }
    assert_eq!(count(&sender, "b").await, pair("2", "accepted"));
}

#[tokio::test]
async fn a_call_that_traps_leaves_nothing() {
    let host = builder(&["counter-then-trap", "counter"]).start().await;
    for _ in 0..3 {
        let answer = host.misbehaving("counter-then-trap").post_bytes("x").await;
        answer.problem(502, INGRESS, "connector_failed");
        host.logs("this connector counted to 1 and trapped").await;
    }
    assert!(!host.log().contains("counted to 2"), "a killed call's write was kept");
    assert_eq!(count(&host.misbehaving("counter"), "a").await, pair("1", "accepted"));
}

#[tokio::test]
async fn calls_that_overlap_do_not_share_memory() {
    let host = builder(&["well"]).start().await;
    let sender = host.misbehaving("well");
    let bodies: Vec<String> = (0..48).map(|n| format!("body {n} ").repeat(200)).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| sender.post_bytes(body.as_str()))).await;
    for (body, answer) in bodies.iter().zip(answers) {
        assert_eq!(answer.expect(200).text("/input/0/text"), body);
    }
}
