//! The claim: what it takes, what it waits for, what it refuses.

use std::time::{Duration, Instant};

use kheish_host_tests::host::Host;
use serde_json::{Value, json};

use super::{host, say};

#[tokio::test]
async fn a_claimed_run_has_everything_that_a_worker_needs() {
    let host = host(&["s"]).await;
    let run = say(&host, "s", "text").await;
    let answer = host.worker("w").ask(&json!({ "lease_ms": 60_000 })).await.expect(200);
    let claimed = &answer.json["runs"][0];
    assert_eq!(
        (&claimed["run_id"], &claimed["session_id"], &claimed["status"]),
        (&json!(run), &json!("s"), &json!("running"))
    );
    assert_eq!((&claimed["attempt"], &claimed["lease"]["epoch"]), (&json!(1), &json!(1)));
    assert!(claimed["lease"]["expires_at_ms"].as_i64() >= claimed["started_at_ms"].as_i64().map(|at| at + 60_000));
    assert_eq!(claimed["input"], json!([{ "type": "text", "text": "text" }]));
    assert_eq!(host.get("/v1/sessions/s").await.text("/state"), "busy");
}

#[tokio::test]
async fn without_work_a_claim_is_empty_at_once() {
    let host = host(&[]).await;
    assert_eq!(host.worker("w").ask(&json!({})).await.expect(200).json, json!({ "runs": [] }));
}

#[tokio::test]
async fn a_waiting_claim_wakes_when_work_arrives() {
    // Looking by itself would take a minute: only the wake-up can be in time.
    let host = Host::builder().plugins(&[]).settings("[queue]\npoll_interval_ms = 60000\n").start().await;
    host.make_session("s").await;
    let worker = host.worker("w");
    let ask = json!({ "wait_ms": 20_000 });
    let started = Instant::now();
    let (answer, run) = futures_util::future::join(worker.ask(&ask), async {
        // The claim is on its way before the run is submitted: a run that came first would be taken without waiting.
        tokio::task::yield_now().await;
        host.get("/v1/status").await.expect(200);
        say(&host, "s", "text").await
    })
    .await;
    assert_eq!(answer.expect(200).json["runs"][0]["run_id"], run);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_waiting_claim_ends_empty_when_its_time_is_over() {
    let host = host(&[]).await;
    let started = Instant::now();
    let answer = host.worker("w").ask(&json!({ "wait_ms": 300 })).await.expect(200);
    assert_eq!(answer.json, json!({ "runs": [] }));
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[tokio::test]
async fn one_run_wakes_many_claims_and_goes_to_one() {
    let host = host(&["s"]).await;
    let workers: Vec<_> = (0..8).map(|n| host.worker(&format!("w{n}"))).collect();
    let ask = json!({ "wait_ms": 1_000 });
    let claims = futures_util::future::join_all(workers.iter().map(|worker| worker.ask(&ask)));
    let (answers, run) = futures_util::future::join(claims, say(&host, "s", "text")).await;
    let got: Vec<Value> = answers
        .into_iter()
        .flat_map(|answer| answer.expect(200).json["runs"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0]["run_id"], run);
}

#[tokio::test]
async fn claims_that_make_no_sense_are_refused() {
    let host = host(&["s"]).await;
    say(&host, "s", "text").await;
    let long = "w".repeat(129);
    for body in [
        json!({}),
        json!({ "worker_id": "" }),
        json!({ "worker_id": "a\nb" }),
        json!({ "worker_id": long }),
        json!({ "worker_id": 1 }),
        json!({ "worker_id": "w", "max_runs": 0 }),
        json!({ "worker_id": "w", "max_runs": 65 }),
        json!({ "worker_id": "w", "lease_ms": 99 }),
        json!({ "worker_id": "w", "lease_ms": 3_600_001 }),
        json!({ "worker_id": "w", "lease_ms": -1 }),
        json!({ "worker_id": "w", "wait_ms": 60_001 }),
        json!({ "worker_id": "w", "wait_ms": -1 }),
        json!({ "worker_id": "w", "hurry": true }),
        json!([]),
    ] {
        let answer = host.post("/v1/runs/claim", &body).await;
        assert_eq!(answer.text("/code"), "invalid_payload", "{body}");
        answer.problem_of(400, answer.text("/domain"));
    }
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn where_the_daemon_performs_runs_itself_nobody_claims() {
    let host = Host::builder().plugins(&[]).executor("echo").start().await;
    host.worker("w").ask(&json!({})).await.problem(409, "runs", "executor_not_claim");
}

#[tokio::test]
async fn verbs_on_runs_that_are_not_there_are_not_found() {
    let host = host(&[]).await;
    for id in ["run_00000000000000000000000000000000", "nonsense", "run_xyz"] {
        host.get(&format!("/v1/runs/{id}")).await.problem(404, "runs", "run_not_found");
        for (verb, body) in [
            ("heartbeat", json!({ "epoch": 1 })),
            ("outputs", json!({ "epoch": 1, "outputs": [] })),
            ("finish", json!({ "epoch": 1 })),
            ("fail", json!({ "epoch": 1, "code": "c", "reason": "r" })),
        ] {
            host.post(&format!("/v1/runs/{id}/{verb}"), &body).await.problem(404, "runs", "run_not_found");
        }
    }
}
