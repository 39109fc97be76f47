//! `events tail` against a stream that is written by script.

use kheish_host_tests::receiver::Reply;
use serde_json::{Value, json};

use super::{answer, problem, scripted};

fn frame(id: Option<u64>, event: &str, data: Value) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n")
}

fn stream(frames: &[String]) -> Reply {
    Reply::Body(200, "text/event-stream", frames.concat())
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_ended() {
    let (daemon, cli) = scripted(|request| match request.nth_to_path {
        0 => stream(&[
            frame(
                Some(41),
                "ingress",
                json!({ "type": "ingress", "connector": "http/orders", "verdict": "accepted", "run_id": "run_1" }),
            ),
            frame(None, "heartbeat", json!({ "type": "heartbeat" })),
        ]),
        1 => Reply::Status(503),
        2 => stream(&[
            frame(Some(50), "stream_gap", json!({ "type": "stream_gap", "skipped": 8, "reason": "replay_window" })),
            frame(
                Some(51),
                "run_updated",
                json!({ "type": "run_updated", "run_id": "run_1", "change": "failed", "attempt": 2,
                                                   "error": { "code": "broken", "detail": "no idea" } }),
            ),
        ]),
        _ => Reply::HangUp,
    })
    .await;
    let mut tail = cli.start(&["events", "tail", "--session", "a/b", "--since", "7"]);
    assert!(tail.line().await.ends_with("ingress            http/orders accepted  run_1"));
    assert!(tail.line().await.contains("8 events are missing here"));
    assert!(tail.line().await.ends_with("run_1 failed, attempt 2: no idea (broken)"));
    let seen = daemon.when("/v1/sessions/a%2Fb/stream", 4).await;
    let ids: Vec<_> =
        seen.iter().take(4).map(|request| request.headers["last-event-id"].to_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["7", "41", "41", "51"]);
    let (status, stderr) = tail.interrupt().await;
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("connecting again") && stderr.contains("connected again, after event 41"), "{stderr}");
}

#[tokio::test]
async fn json_is_one_event_a_line_with_its_id() {
    let (daemon, cli) = scripted(|request| match request.nth_to_path {
        0 => stream(&[frame(Some(3), "output", json!({ "type": "output", "content": "hi" }))]),
        _ => problem(404, "run_not_found", "there is no such run", &[]),
    })
    .await;
    let ran = cli.run(&["events", "tail", "--run", "run_1", "--output", "json"]).await.expect(3);
    assert_eq!(ran.json(), json!({ "id": "3", "event": "output", "data": { "type": "output", "content": "hi" } }));
    assert_eq!(daemon.received()[0].path, "/v1/runs/run_1/stream");
}

#[tokio::test]
async fn a_refusal_ends_it_and_nobody_there_is_5() {
    let (_daemon, cli) = scripted(|_| problem(400, "invalid_event_cursor", "no such cursor", &[])).await;
    cli.run(&["events", "tail"]).await.expect(4).says(&["invalid_event_cursor"]);
    let (daemon, cli) = scripted(|_| answer(200, &json!({}))).await;
    drop(daemon);
    cli.run(&["events", "tail"]).await.expect(5);
}
