//! Cancellation: of runs that wait, and of runs that a worker holds.

use std::time::{Duration, Instant};

use kheish_host_tests::{cli::Cli, host::Host, receiver::Receiver};
use serde_json::json;

use super::{host, say};

#[tokio::test]
async fn a_run_that_waits_is_cancelled_at_once_and_never_given_out() {
    let host = host(&["s"]).await;
    let worker = host.worker("w");
    let (first, second) = (say(&host, "s", "first").await, say(&host, "s", "second").await);
    let third = say(&host, "s", "third").await;
    let held = worker.take().await;
    // Behind one that is performed.
    let cancelled = worker.cancel(&second).await.expect(200);
    assert_eq!((cancelled.text("/status"), cancelled.json.get("cancel_requested_at_ms")), ("cancelled", None));
    assert!(cancelled.json["finished_at_ms"].is_i64());
    assert_eq!(worker.cancel(&second).await.expect(200).text("/status"), "cancelled");
    assert_eq!(host.get("/v1/sessions/s").await.json["queued_runs"], 1);
    worker.finish(&held, &[]).await.expect(200);
    // At the head of its session, with nothing behind it.
    worker.cancel(&third).await.expect(200);
    assert!(worker.claim(10, 60_000).await.is_empty());
    let session = host.get("/v1/sessions/s").await.expect(200);
    assert_eq!((session.text("/state"), &session.json["queued_runs"]), ("idle", &json!(0)));
    // The session is as good as before.
    let next = say(&host, "s", "next").await;
    assert_eq!(worker.take().await.run, next);
    assert_eq!(host.run(&first).await["status"], "completed");
}

#[tokio::test]
async fn a_worker_is_told_and_what_it_says_then_is_refused() {
    let (host, target) = (host(&[]).await, Receiver::start().await);
    host.post("/v1/sessions", &json!({ "session_id": "s" })).await;
    let targets = json!([target.target_json("/hook")]);
    let submitted = host.submit("s", &json!({ "content": "long", "reply_targets": targets })).await.expect(202);
    let next = say(&host, "s", "next").await;
    let worker = host.worker("w");
    let held = worker.take().await;
    worker.outputs(&held, &["before"]).await.expect(200);
    assert_eq!(worker.heartbeat(&held, 60_000).await.expect(200).json["cancelled"], false);
    let asked = worker.cancel(submitted.text("/run_id")).await.expect(202);
    assert_eq!(asked.text("/status"), "running");
    assert!(asked.json["cancel_requested_at_ms"].is_i64());
    worker.cancel(&held.run).await.expect(202);
    assert_eq!(worker.heartbeat(&held, 60_000).await.expect(200).json["cancelled"], true);
    worker.outputs(&held, &["after"]).await.problem(409, "runs", "run_cancelled");
    // The next one waits until the worker has confirmed.
    assert!(worker.claim(1, 60_000).await.is_empty());
    let ended = worker.finish(&held, &["after"]).await.expect(200);
    assert_eq!((ended.text("/status"), ended.json["outputs"].as_array().map(Vec::len)), ("cancelled", Some(1)));
    assert_eq!(worker.finish(&held, &["after"]).await.expect(200).text("/status"), "cancelled");
    worker.heartbeat(&held, 60_000).await.problem(409, "runs", "lease_lost");
    // What comes later is delivered; nothing of the cancelled run was before it.
    let last = worker.take().await;
    assert_eq!(last.run, next);
    let deliveries = host.get(&format!("/v1/deliveries?run_id={}", held.run)).await.expect(200);
    assert!(deliveries.items().is_empty() && target.received().is_empty());
}

#[tokio::test]
async fn giving_a_cancelled_run_back_or_failing_it_ends_it_as_cancelled() {
    let host = host(&["a", "b"]).await;
    let worker = host.worker("w");
    for (session, retry) in [("a", true), ("b", false)] {
        say(&host, session, "text").await;
        let held = worker.take().await;
        worker.cancel(&held.run).await.expect(202);
        let ended = worker.fail(&held, "stopped", retry).await.expect(200);
        assert_eq!((ended.text("/status"), ended.json.get("error")), ("cancelled", None));
    }
    assert!(worker.claim(10, 60_000).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_not_waited_for_longer_than_its_lease() {
    let host = host(&["s"]).await;
    let worker = host.worker("gone");
    let run = say(&host, "s", "text").await;
    let next = say(&host, "s", "next").await;
    let held = worker.take_for(1_000).await;
    worker.cancel(&held.run).await.expect(202);
    let ended = host.run_when(&run, "cancelled").await;
    assert_eq!(ended["attempt"], 1);
    assert_eq!(host.worker("w").take().await.run, next);
}

#[tokio::test]
async fn what_has_ended_or_never_was_cannot_be_cancelled() {
    let host = host(&["s"]).await;
    let worker = host.worker("w");
    say(&host, "s", "good").await;
    let good = worker.take().await;
    worker.finish(&good, &[]).await.expect(200);
    worker.cancel(&good.run).await.problem(409, "runs", "run_ended");
    say(&host, "s", "bad").await;
    let bad = worker.take().await;
    worker.fail(&bad, "broken", false).await.expect(200);
    worker.cancel(&bad.run).await.problem(409, "runs", "run_ended");
    for id in ["run_00000000000000000000000000000000", "nonsense"] {
        worker.cancel(id).await.problem(404, "runs", "run_not_found");
    }
}

#[tokio::test]
async fn a_dead_workers_run_is_taken_up_within_its_lease_and_five_seconds() {
    // With the settings as they come.
    let host = Host::builder().plugins(&[]).start().await;
    host.make_session("s").await;
    say(&host, "s", "text").await;
    let lost = host.worker("dies").take_for(2_000).await;
    let started = Instant::now();
    let again = host.worker("lives").take().await;
    assert_eq!((again.run.as_str(), again.view["attempt"].as_i64()), (lost.run.as_str(), Some(2)));
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_cancellation_survives_the_death_of_the_daemon() {
    let mut host = host(&["s"]).await;
    let run = say(&host, "s", "text").await;
    let held = host.worker("w").take().await;
    host.worker("w").cancel(&run).await.expect(202);
    host.kill();
    host.restart().await;
    let worker = host.worker("w");
    assert_eq!(worker.heartbeat(&held, 60_000).await.expect(200).json["cancelled"], true);
    assert_eq!(worker.finish(&held, &["late"]).await.expect(200).text("/status"), "cancelled");
}

#[tokio::test]
async fn operators_cancel_from_the_command_line() {
    let host = host(&["s"]).await;
    let run = say(&host, "s", "text").await;
    let cli = Cli::of(&host);
    cli.run(&["runs", "cancel", &run]).await.expect(0).says(&["cancelled"]);
    cli.run(&["runs", "cancel", "run_00000000000000000000000000000000"]).await.expect(3);
    assert_eq!(host.get("/v1/runs?status=cancelled").await.expect(200).items().len(), 1);
}
