//! Between accept, claim and finish.

use kheish_host_tests::{connectors::Http, host::Host};

use super::{builder, submit};

#[tokio::test]
async fn a_run_that_waited_waits_on() {
    let connector = Http::named("orders").bearer("tok").fast();
    let mut host = Host::builder().connectors(connector).start().await;
    let mut runs = Vec::new();
    for n in 0..5 {
        let answer =
            host.sender("orders").bearer("tok").say(&format!("k{n}"), "room", &n.to_string()).await.expect(200);
        runs.push(answer.text("/run_id").to_owned());
    }
    host.kill();
    host.restart().await;
    let worker = host.worker("w");
    for (n, run) in runs.iter().enumerate() {
        let claimed = worker.take().await;
        assert_eq!((&claimed.run, claimed.text()), (run, n.to_string().as_str()));
        assert_eq!(claimed.view["attempt"], 1);
        worker.finish(&claimed, &["done"]).await.expect(200);
    }
    assert_eq!(host.ledger().await["runs"]["completed"], 5);
    assert!(worker.claim(10, 60_000).await.is_empty());
}

#[tokio::test]
async fn a_worker_elsewhere_keeps_its_lease_and_ends_its_run() {
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[]).await;
    let claimed = host.worker("w").take_for(600_000).await;
    host.worker("w").outputs(&claimed, &["before"]).await.expect(200);
    host.kill();
    host.restart().await;
    assert!(host.worker("other").claim(10, 60_000).await.is_empty(), "the lease outlives the process");
    let worker = host.worker("w");
    worker.heartbeat(&claimed, 600_000).await.expect(200);
    let done = worker.finish(&claimed, &["after"]).await.expect(200);
    assert_eq!((done.text("/run_id"), done.text("/status")), (run.as_str(), "completed"));
    assert_eq!((done.text("/outputs/0/content"), done.text("/outputs/1/content")), ("before", "after"));
    assert_eq!(done.json["attempt"], 1);
}

#[tokio::test]
async fn a_lease_that_ended_meanwhile_gives_the_run_to_another_worker() {
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[]).await;
    let late = host.worker("late").take_for(100).await;
    host.worker("late").outputs(&late, &["lost"]).await.expect(200);
    host.kill();
    host.restart().await;
    let quick = host.worker("quick");
    let held = quick.take().await;
    assert_eq!((&held.run, held.view["attempt"].as_i64()), (&run, Some(2)));
    host.worker("late").finish(&late, &["late"]).await.problem(409, "runs", "lease_lost");
    let done = quick.finish(&held, &["in time"]).await.expect(200);
    assert_eq!((done.json["outputs"].as_array().map(Vec::len), done.text("/outputs/0/content")), (Some(1), "in time"));
}

#[tokio::test]
async fn a_run_that_ended_has_ended() {
    let mut host = builder().start().await;
    let good = submit(&host, "good", &[]).await;
    let claimed = host.worker("w").take().await;
    host.worker("w").finish(&claimed, &["said"]).await.expect(200);
    let bad = submit(&host, "bad", &[]).await;
    let failed = host.worker("w").take().await;
    host.worker("w").fail(&failed, "broken", false).await.expect(200);
    let before = (host.run(&good).await, host.run(&bad).await);
    host.kill();
    host.restart().await;
    assert_eq!((host.run(&good).await, host.run(&bad).await), before);
    // The worker did not hear the answer and asks again.
    let again = host.worker("w").finish(&claimed, &["said"]).await.expect(200);
    assert_eq!(again.json["outputs"].as_array().map(Vec::len), Some(1));
    assert!(host.worker("w").claim(10, 60_000).await.is_empty());
}

#[tokio::test]
async fn a_run_that_was_given_back_is_still_first() {
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[]).await;
    let claimed = host.worker("w").take().await;
    host.worker("w").fail(&claimed, "again", true).await.expect(200);
    host.kill();
    host.restart().await;
    let again = host.worker("w").take().await;
    assert_eq!((&again.run, again.view["attempt"].as_i64()), (&run, Some(2)));
}

#[tokio::test]
async fn the_daemons_own_runs_go_on_at_once() {
    // A lease that would last for minutes: only a daemon that knows its own former leases is quick.
    let settings = "[queue]\ndefault_lease_ms = 600000\n";
    let connector = Http::named("orders").bearer("tok").fast();
    let mut host = Host::builder().executor("echo").settings(settings).connectors(connector).start().await;
    let mut runs = Vec::new();
    for n in 0..30 {
        let answer =
            host.sender("orders").bearer("tok").say(&format!("k{n}"), &format!("room {n}"), "a").await.expect(200);
        runs.push(answer.text("/run_id").to_owned());
    }
    host.kill();
    host.restart().await;
    for run in runs {
        assert_eq!(host.run_when(&run, "completed").await["outputs"].as_array().map(Vec::len), Some(1));
    }
}
