//! Bodies: what is wrong is told with its place, and nothing that is not known is passed over.

use kheish_host_tests::client::{Answer, answer};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{claimed, host};

/// The one entry of a refusal's `errors`.
#[track_caller]
fn error(answer: &Answer) -> (&str, &str) {
    answer.problem(400, "api", "invalid_payload");
    assert_eq!(answer.json["errors"].as_array().map(Vec::len), Some(1), "{}", answer.json);
    (answer.text("/errors/0/pointer"), answer.text("/errors/0/detail"))
}

#[tokio::test]
async fn what_is_wrong_has_its_place_in_the_body() {
    let host = host().await;
    let said = |value: Value| json!({ "content": "a", "reply_targets": [{ "plugin": "http", "address": value }] });
    for (body, pointer) in [
        (json!({ "content": 1 }), "/content"),
        (json!({ "content": "a", "metadata": [] }), "/metadata"),
        (said(json!(7)), "/reply_targets/0/address"),
        (json!([]), ""),
    ] {
        let refused = host.submit("s", &body).await;
        assert_eq!(error(&refused).0, pointer, "{}", refused.json);
        assert!(refused.text("/detail").contains(pointer), "{}", refused.json);
    }
    let missing = host.post("/v1/runs/claim", &json!({})).await;
    assert_eq!(error(&missing), ("", "missing field `worker_id`"));
    assert_eq!(host.ledger().await["runs"]["queued"], 0);
}

#[tokio::test]
async fn an_unknown_field_is_refused_everywhere_with_the_nearest_known_one() {
    let host = host().await;
    let (run, epoch) = claimed(&host).await;
    let of_run = |verb: &str| format!("/v1/runs/{run}/{verb}");
    for (path, body, pointer, meant) in [
        ("/v1/sessions".to_owned(), json!({ "sesion_id": "t" }), "/sesion_id", "session_id"),
        ("/v1/sessions/s/runs".to_owned(), json!({ "contnt": "a" }), "/contnt", "content"),
        (
            "/v1/sessions/s/runs".to_owned(),
            json!({ "content": "a", "reply_targets": [{ "plugin": "http", "address": "", "adress": "" }] }),
            "/reply_targets/0/adress",
            "address",
        ),
        ("/v1/runs/claim".to_owned(), json!({ "worker_id": "w", "max_run": 1 }), "/max_run", "max_runs"),
        (of_run("heartbeat"), json!({ "epoch": epoch, "lease_mss": 100 }), "/lease_mss", "lease_ms"),
        (of_run("outputs"), json!({ "epoch": epoch, "output": [] }), "/output", "outputs"),
        (
            of_run("finish"),
            json!({ "epoch": epoch, "outputs": [{ "contents": "" }] }),
            "/outputs/0/contents",
            "content",
        ),
        (of_run("fail"), json!({ "epoch": epoch, "code": "c", "reason": "r", "retries": true }), "/retries", "retry"),
    ] {
        let refused = host.post(&path, &body).await;
        let (at, detail) = error(&refused);
        assert_eq!(at, pointer, "{path}");
        assert!(detail.ends_with(&format!("(did you mean `{meant}`?)")), "{path}: {detail}");
    }
    let far = host.post("/v1/sessions", &json!({ "colour": "red" })).await;
    assert_eq!(error(&far).1, "unknown field `colour`, expected `session_id` or `executor`");
    assert_eq!(host.run(&run).await["status"], "running");
    assert_eq!(host.ledger().await["sessions"]["total"], 1);
}

#[tokio::test]
async fn pieces_of_content_are_read_as_strictly() {
    let host = host().await;
    let item = |item: Value| json!({ "input_items": [{ "type": "text", "text": "a" }, item] });
    for (body, meant) in [
        (item(json!({ "type": "text", "text": "a", "txt": "b" })), "text"),
        (item(json!({ "type": "asset_referenc", "asset_id": "a" })), "asset_reference"),
    ] {
        let refused = host.submit("s", &body).await;
        let (pointer, detail) = error(&refused);
        assert!(pointer.starts_with("/input_items/1"), "{pointer}");
        assert!(detail.ends_with(&format!("(did you mean `{meant}`?)")), "{detail}");
    }
    assert_eq!(host.ledger().await["runs"]["queued"], 0);
}

#[tokio::test]
async fn what_is_no_json_has_no_place() {
    let host = host().await;
    for body in ["", "{", "{\"session_id\":\"a\"} {}", "{\"session_id\":\"a\",}", "\u{0}"] {
        let refused = host.client().post_bytes("/v1/sessions", body).await;
        refused.problem(400, "api", "invalid_payload");
        assert_eq!(refused.json["errors"], Value::Null);
    }
    let twice = host.client().post_bytes("/v1/sessions", "{\"session_id\":\"a\",\"session_id\":\"b\"}").await;
    twice.problem(400, "api", "invalid_payload");
    assert_eq!(host.ledger().await["sessions"]["total"], 1);
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let host = host().await;
    let post = |media_type: Option<&'static str>| {
        let request = host.client().request(Method::POST, "/v1/sessions").body("{}");
        answer(match media_type {
            Some(media_type) => request.header(CONTENT_TYPE, media_type),
            None => request,
        })
    };
    for media_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("json"), Some("")] {
        post(media_type).await.problem(415, "api", "unsupported_media_type");
    }
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.kheish+json"] {
        post(Some(media_type)).await.expect(201);
    }
}

#[tokio::test]
async fn a_refusal_is_short_however_long_the_body_was() {
    let host = host().await;
    for body in [json!({ "session_id": [], "n".repeat(1 << 20): 1 }), json!({ "n".repeat(1 << 20): 1 })] {
        let refused = host.post("/v1/sessions", &body).await;
        refused.problem(400, "api", "invalid_payload");
        assert!(refused.body.len() < 4_096, "{} bytes", refused.body.len());
    }
    let text = json!({ "session_id": { "a": "x".repeat(1 << 20) } });
    assert!(host.post("/v1/sessions", &text).await.body.len() < 4_096);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let small = "[server]\ncontrol_body_limit_bytes = 1024\n";
    let host = kheish_host_tests::host::Host::builder().plugins(&[]).settings(small).start().await;
    let body = json!({ "session_id": "x".repeat(2_000) });
    host.post("/v1/sessions", &body).await.problem(413, "api", "payload_too_large");
    host.logs("control_body_limit_bytes").await;
    host.make_session("s").await;
}
