//! Leases: kept by heartbeats, lost with time, fenced by their epoch.

use kheish_host_tests::{
    client::Answer,
    host::Host,
    wait::eventually,
    worker::{Claimed, Worker},
};
use serde_json::json;

use super::{host, say};

/// A run whose first worker let the lease end, now with a second one.
async fn taken_over(host: &Host) -> (Worker, Claimed, Worker, Claimed) {
    say(host, "s", "text").await;
    let (slow, quick) = (host.worker("slow"), host.worker("quick"));
    let late = slow.take_for(100).await;
    let held = quick.take().await;
    assert_eq!(late.run, held.run);
    (slow, late, quick, held)
}

fn lost(answer: &Answer) {
    answer.problem(409, "runs", "lease_lost");
}

#[tokio::test]
async fn when_the_lease_ends_somebody_else_gets_the_run() {
    let host = host(&["s"]).await;
    let (_, late, quick, held) = taken_over(&host).await;
    assert!(held.epoch > late.epoch);
    assert_eq!(held.view["attempt"], 2);
    let done = quick.finish(&held, &["done"]).await.expect(200);
    assert_eq!((done.text("/status"), done.text("/outputs/0/content")), ("completed", "done"));
}

#[tokio::test]
async fn whoever_lost_the_lease_changes_nothing_any_more() {
    let host = host(&["s"]).await;
    let (slow, late, quick, held) = taken_over(&host).await;
    let before = host.run(&held.run).await;
    lost(&slow.heartbeat(&late, 60_000).await);
    lost(&slow.outputs(&late, &["late"]).await);
    lost(&slow.finish(&late, &["late"]).await);
    lost(&slow.fail(&late, "late", false).await);
    lost(&slow.fail(&late, "late", true).await);
    assert_eq!(host.run(&held.run).await, before);
    quick.finish(&held, &["in time"]).await.expect(200);
    // Nor after the end.
    lost(&slow.outputs(&late, &["late"]).await);
    lost(&slow.finish(&late, &["late"]).await);
    let outputs = &host.run(&held.run).await["outputs"];
    assert_eq!((outputs.as_array().map(Vec::len), &outputs[0]["content"]), (Some(1), &json!("in time")));
}

#[tokio::test]
async fn an_epoch_from_the_future_is_refused_too() {
    let host = host(&["s"]).await;
    say(&host, "s", "text").await;
    let worker = host.worker("w");
    let held = worker.take().await;
    let guessed = Claimed { epoch: held.epoch + 1, ..held.clone() };
    lost(&worker.heartbeat(&guessed, 60_000).await);
    lost(&worker.finish(&guessed, &["a"]).await);
    worker.finish(&held, &[]).await.expect(200);
}

#[tokio::test]
async fn heartbeats_keep_the_lease() {
    let host = host(&["kept", "lost"]).await;
    say(&host, "kept", "text").await;
    let worker = host.worker("w");
    let kept = worker.take_for(2_000).await;
    say(&host, "lost", "text").await;
    let lost = worker.take_for(2_000).await;
    // The one that nobody keeps shows when the time of both would have been over.
    eventually("the other lease has ended", async || {
        worker.heartbeat(&kept, 2_000).await.expect(200);
        (host.run(&lost.run).await["status"] == "queued").then_some(())
    })
    .await;
    let run = host.run(&kept.run).await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("running"), &json!(1)));
    worker.finish(&kept, &[]).await.expect(200);
}

#[tokio::test]
async fn a_run_that_nobody_survives_fails_and_the_session_moves_on() {
    let host = host(&["s"]).await;
    let poisoned = say(&host, "s", "poison").await;
    say(&host, "s", "next").await;
    let worker = host.worker("w");
    for attempt in 1..=3 {
        let claimed = worker.take_for(100).await;
        assert_eq!((claimed.run.as_str(), claimed.view["attempt"].as_i64()), (poisoned.as_str(), Some(attempt)));
    }
    let run = host.run_when(&poisoned, "failed").await;
    assert_eq!(run["error"]["code"], "attempts_exhausted");
    assert_eq!(worker.take().await.text(), "next");
}

#[tokio::test]
async fn giving_back_is_bounded_as_well() {
    let host = host(&["s"]).await;
    let poisoned = say(&host, "s", "poison").await;
    let worker = host.worker("w");
    for status in ["queued", "queued", "failed"] {
        let claimed = worker.take().await;
        assert_eq!(worker.fail(&claimed, "again", true).await.expect(200).text("/status"), status);
    }
    assert_eq!(host.run(&poisoned).await["error"]["code"], "again");
}

#[tokio::test]
async fn ending_a_run_twice_under_one_epoch_answers_the_same() {
    let host = host(&["a", "b"]).await;
    let worker = host.worker("w");
    say(&host, "a", "text").await;
    let good = worker.take().await;
    worker.finish(&good, &["x"]).await.expect(200);
    let again = worker.finish(&good, &["x"]).await.expect(200);
    assert_eq!(again.json["outputs"].as_array().map(Vec::len), Some(1));
    lost(&worker.fail(&good, "other", false).await);
    lost(&worker.heartbeat(&good, 60_000).await);
    say(&host, "b", "text").await;
    let bad = worker.take().await;
    worker.fail(&bad, "broken", false).await.expect(200);
    assert_eq!(worker.fail(&bad, "broken", false).await.expect(200).text("/error/code"), "broken");
    lost(&worker.finish(&bad, &["x"]).await);
}

#[tokio::test]
async fn outputs_add_up_and_those_of_a_lost_attempt_are_gone() {
    let host = host(&["s"]).await;
    say(&host, "s", "text").await;
    let worker = host.worker("w");
    let first = worker.take().await;
    worker.outputs(&first, &["lost"]).await.expect(200);
    worker.fail(&first, "again", true).await.expect(200);
    let second = worker.take().await;
    assert_eq!(worker.outputs(&second, &["one", "two"]).await.expect(200).json["outputs"], 2);
    assert_eq!(worker.outputs(&second, &["three"]).await.expect(200).json["outputs"], 3);
    let done = worker.finish(&second, &["four"]).await.expect(200);
    let said: Vec<&str> = ["/outputs/0", "/outputs/1", "/outputs/2", "/outputs/3"]
        .iter()
        .map(|place| done.json.pointer(place).and_then(|output| output["content"].as_str()).unwrap_or_default())
        .collect();
    assert_eq!((said, done.json["outputs"].as_array().map(Vec::len)), (vec!["one", "two", "three", "four"], Some(4)));
}

#[tokio::test]
async fn a_run_says_so_much_and_no_more() {
    let host = host(&["s"]).await;
    say(&host, "s", "text").await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.outputs(&claimed, &["x"; 999]).await.expect(200);
    worker.outputs(&claimed, &["x", "y"]).await.problem(409, "runs", "too_many_outputs");
    worker.finish(&claimed, &["x", "y"]).await.problem(409, "runs", "too_many_outputs");
    let done = worker.finish(&claimed, &["last"]).await.expect(200);
    assert_eq!(done.json["outputs"].as_array().map(Vec::len), Some(1_000));
}

#[tokio::test]
async fn a_failure_has_a_code_for_programs() {
    let host = host(&["s"]).await;
    say(&host, "s", "text").await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    for code in ["", "Has Spaces", "UPPER", "umläut", &"x".repeat(65)] {
        worker.fail(&claimed, code, false).await.problem(400, "runs", "invalid_payload");
    }
    assert_eq!(host.run(&claimed.run).await["status"], "running");
}
