//! The audit file.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use kheish_host_tests::{client, host::Host, raw, wait::eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN, READER, anybody, guarded, head};

fn file(host: &Host) -> PathBuf {
    host.state_folder().join("control-plane-auth/audit.jsonl")
}

fn rows(host: &Host) -> Vec<Value> {
    let text = fs::read_to_string(file(host)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rows once there are so many, without the time they bear.
async fn rows_when(host: &Host, count: usize) -> Vec<Value> {
    let mut rows = eventually(&format!("the audit file has {count} rows"), async || {
        Some(rows(host)).filter(|rows| rows.len() >= count)
    })
    .await;
    for row in &mut rows {
        let at_ms = row.as_object_mut().and_then(|row| row.remove("at_ms"));
        assert!(at_ms.and_then(|at| at.as_i64()).is_some_and(|at| at > 1_700_000_000_000), "{row}");
    }
    rows
}

fn failure(event: &str, reason: &str) -> Value {
    json!({ "event": event, "reason": reason, "remote": "127.0.0.1" })
}

fn write(method: &str, path: &str, status: u16) -> Value {
    json!({
        "event": "control_write", "method": method, "path": path, "role": "admin", "status": status, "remote": "127.0.0.1",
    })
}

#[tokio::test]
async fn refusals_and_changes_are_rows_and_nothing_else_is() {
    let mut host = guarded().start().await;
    let client = anybody(&host);
    client.get("/v1/status?token=in-the-query").await.expect(401);
    client.with_token("wrong-token").get("/v1/status").await.expect(401);
    client.with_token(READER).post("/v1/sessions", &json!({})).await.expect(403);
    let evil = client.request(Method::GET, "/v1/status").header("origin", "http://evil.example");
    client::answer(evil).await.expect(403);
    host.get("/v1/status").await.expect(200);
    client.with_token(READER).get("/v1/runs").await.expect(200);
    host.post("/v1/sessions?x=in-the-query", &json!({ "session_id": "in-the-body" })).await.expect(400);
    host.post("/v1/sessions", &json!({ "session_id": "in-the-body" })).await.expect(201);
    host.post("/v1/sessions", &json!({ "session_id": ".." })).await.expect(400);
    host.post("/v1/runs/claim", &json!({ "worker_id": "w" })).await.expect(200);
    for call in ["heartbeat", "outputs", "finish", "fail"] {
        host.post(&format!("/v1/runs/run_0/{call}"), &json!({})).await;
    }
    host.post("/v1/status", &json!({})).await.expect(405);
    let expected = [
        failure("auth_failure", "missing_token"),
        failure("auth_failure", "invalid_token"),
        failure("auth_failure", "insufficient_access"),
        failure("cors_origin_rejected", "origin_not_allowed"),
        write("POST", "/v1/sessions", 400),
        write("POST", "/v1/sessions", 201),
        write("POST", "/v1/sessions", 400),
        write("POST", "/v1/status", 405),
    ];
    assert_eq!(rows_when(&host, expected.len()).await, expected);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file(&host)), mode(file(&host).parent().unwrap().to_owned())), (0o600, 0o700));
    host.terminate().await;
    let text = fs::read_to_string(file(&host)).unwrap();
    assert_eq!(text.lines().count(), expected.len());
    for hidden in [ADMIN, READER, "wrong-token", "in-the-query", "in-the-body", "Bearer", "evil"] {
        assert!(!text.contains(hidden), "{hidden} in:\n{text}");
    }
}

#[tokio::test]
async fn what_was_handed_over_is_in_the_file_when_the_daemon_has_ended() {
    let mut host = guarded().start().await;
    for number in 0..50 {
        host.make_session(&format!("s{number}")).await;
    }
    host.terminate().await;
    assert_eq!(rows(&host).len(), 50);
}

#[tokio::test]
async fn a_flood_is_a_few_rows() {
    let settings = "[auth]\nfailure_limit = 2\n";
    let mut host = Host::builder().plugins(&[]).settings(settings).start().await;
    for _ in 0..10 {
        let (status, _) = raw::exchange(host.client(), &head("GET", "/v1/status", "host: evil.example\r\n")).await;
        assert!([403, 429].contains(&status));
        let evil = host.client().request(Method::GET, "/v1/status").header("origin", "http://evil.example");
        client::answer(evil).await;
    }
    host.make_session("s").await;
    host.terminate().await;
    let counted = |event: &str| rows(&host).iter().filter(|row| row["event"] == event).count();
    assert_eq!((counted("host_rejected"), counted("auth_rate_limited")), (2, 1));
    assert_eq!((counted("cors_origin_rejected"), counted("cors_origin_rate_limited")), (2, 1));
    assert_eq!((counted("control_write"), rows(&host).len()), (1, 7));
    assert_eq!(rows(&host)[6]["role"], "anybody");
}

#[tokio::test]
async fn the_file_is_bounded_and_one_old_one_is_kept() {
    let settings = "[auth]\nfailure_limit = 1000000\naudit_bytes = 1000\n";
    let mut host = Host::builder().plugins(&[]).token(ADMIN).settings(settings).start().await;
    for _ in 0..30 {
        anybody(&host).get("/v1/status").await.expect(401);
    }
    host.terminate().await;
    let folder = file(&host).parent().unwrap().to_owned();
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["audit.jsonl", "audit.jsonl.1"]);
    for name in names {
        let metadata = fs::metadata(folder.join(name)).unwrap();
        assert!((1..=1000).contains(&metadata.len()), "{}", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    // After a restart it goes on where it was.
    let before = rows(&host).len();
    host.restart().await;
    assert_eq!(rows(&host).len(), before);
}
