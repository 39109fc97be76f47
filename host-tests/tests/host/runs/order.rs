//! One active run per session, in order; sessions side by side.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{host, say};

#[tokio::test]
async fn a_session_gives_out_one_run_at_a_time_in_order() {
    let host = host(&["s"]).await;
    let worker = host.worker("w");
    for n in 0..5 {
        say(&host, "s", &format!("text {n}")).await;
    }
    for n in 0..5 {
        let claimed = worker.claim(10, 60_000).await;
        assert_eq!(claimed.len(), 1, "one run of a session is active");
        assert_eq!(claimed[0].text(), format!("text {n}"));
        assert!(worker.claim(10, 60_000).await.is_empty(), "the next one waits");
        worker.finish(&claimed[0], &[]).await.expect(200);
    }
    assert!(worker.claim(10, 60_000).await.is_empty());
    let session = host.get("/v1/sessions/s").await.expect(200);
    assert_eq!((session.text("/state"), &session.json["queued_runs"]), ("idle", &0.into()));
}

#[tokio::test]
async fn sessions_do_not_wait_for_each_other() {
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let host = host(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in &names {
        say(&host, name, "first").await;
        say(&host, name, "second").await;
    }
    let worker = host.worker("w");
    let claimed = worker.claim(64, 60_000).await;
    let sessions: BTreeSet<&str> = claimed.iter().map(|run| run.session.as_str()).collect();
    assert_eq!((claimed.len(), sessions.len()), (20, 20));
    assert!(claimed.iter().all(|run| run.text() == "first"));
    worker.finish(&claimed[7], &[]).await.expect(200);
    let next = worker.take().await;
    assert_eq!((next.session, next.view["seq"].as_i64()), (claimed[7].session.clone(), Some(2)));
}

#[tokio::test]
async fn workers_that_ask_at_once_never_get_the_same_run() {
    let names: Vec<String> = (0..16).map(|n| format!("s{n}")).collect();
    let host = host(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    join_all(names.iter().map(|name| say(&host, name, "text"))).await;
    let workers: Vec<_> = (0..8).map(|n| host.worker(&format!("w{n}"))).collect();
    let claims = join_all(workers.iter().map(|worker| worker.claim(4, 60_000))).await;
    let all: Vec<String> = claims.into_iter().flatten().map(|claimed| claimed.run).collect();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (16, 16));
}

#[tokio::test]
async fn a_run_that_fails_lets_the_session_move_on() {
    let host = host(&["s"]).await;
    let worker = host.worker("w");
    let first = say(&host, "s", "bad").await;
    say(&host, "s", "good").await;
    let claimed = worker.take().await;
    let failed = worker.fail(&claimed, "no_luck", false).await.expect(200);
    assert_eq!((failed.text("/status"), failed.text("/error/code")), ("failed", "no_luck"));
    assert_eq!(host.run(&first).await["error"]["detail"], "the test says so");
    assert_eq!(worker.take().await.text(), "good");
}

#[tokio::test]
async fn a_run_that_is_given_back_comes_first_again() {
    let host = host(&["s"]).await;
    let worker = host.worker("w");
    let first = say(&host, "s", "one").await;
    say(&host, "s", "two").await;
    let claimed = worker.take().await;
    let back = worker.fail(&claimed, "later", true).await.expect(200);
    assert_eq!(back.text("/status"), "queued");
    let again = worker.take().await;
    assert_eq!((again.run.as_str(), again.view["attempt"].as_i64()), (first.as_str(), Some(2)));
    assert!(again.epoch > claimed.epoch);
}
