//! Submissions without a connector, and their idempotency keys.

use kheish_host_tests::{
    client::{self, Answer},
    host::Host,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::host;

async fn with_key(host: &Host, header: &str, body: &Value) -> Answer {
    let request =
        host.client().request(Method::POST, "/v1/sessions/s/runs").header("idempotency-key", header).json(body);
    client::answer(request).await
}

#[tokio::test]
async fn a_submission_is_a_queued_run() {
    let host = host(&["s"]).await;
    let body = json!({ "content": "hello", "actor_id": "me", "source_kind": "cron", "metadata": { "a": 1 } });
    let answer = host.submit("s", &body).await.expect(202);
    assert_eq!((answer.text("/status"), answer.text("/session_id")), ("queued", "s"));
    let request = json!({ "source_plugin": "api", "source_kind": "cron", "actor_id": "me", "text_preview": "hello" });
    assert_eq!(answer.json["request"], request);
    assert_eq!(answer.json["input_metadata"], json!({ "a": 1 }));
}

#[tokio::test]
async fn a_session_must_exist() {
    let host = host(&[]).await;
    host.submit("nowhere", &json!({ "content": "hello" })).await.problem(404, "sessions", "session_not_found");
    assert_eq!(host.ledger().await["runs"]["queued"], 0);
}

#[tokio::test]
async fn the_key_may_stand_in_the_header_or_the_body() {
    let host = host(&["s"]).await;
    let plain = json!({ "content": "a" });
    let first = with_key(&host, "k1", &plain).await.expect(202);
    let again = with_key(&host, " k1 ", &plain).await.expect(202);
    assert_eq!(first.text("/run_id"), again.text("/run_id"));
    let in_body = json!({ "content": "a", "idempotency_key": "k2" });
    let first = host.submit("s", &in_body).await.expect(202);
    let again = host.submit("s", &in_body).await.expect(202);
    assert_eq!(first.text("/run_id"), again.text("/run_id"));
    assert_eq!(with_key(&host, "k2", &in_body).await.expect(202).text("/run_id"), first.text("/run_id"));
    assert_eq!(host.ledger().await["runs"]["queued"], 2);
}

#[tokio::test]
async fn the_same_key_by_the_other_way_is_the_same_submission() {
    let host = host(&["s"]).await;
    let first = with_key(&host, "k1", &json!({ "content": "a" })).await.expect(202);
    let again = host.submit("s", &json!({ "content": "a", "idempotency_key": "k1" })).await.expect(202);
    assert_eq!(first.text("/run_id"), again.text("/run_id"));
}

#[tokio::test]
async fn keys_that_contradict_or_are_empty_are_refused() {
    let host = host(&["s"]).await;
    let in_body = json!({ "content": "a", "idempotency_key": "k1" });
    with_key(&host, "k2", &in_body).await.problem(400, "idempotency", "invalid_idempotency_key");
    with_key(&host, "", &json!({ "content": "a" })).await.problem(400, "idempotency", "invalid_idempotency_key");
    let empty = json!({ "content": "a", "idempotency_key": " " });
    host.submit("s", &empty).await.problem(400, "idempotency", "invalid_idempotency_key");
    with_key(&host, &"k".repeat(513), &json!({ "content": "a" })).await.problem(
        400,
        "idempotency",
        "invalid_idempotency_key",
    );
    assert_eq!(host.ledger().await["runs"]["queued"], 0);
}

#[tokio::test]
async fn a_key_with_other_content_is_a_conflict() {
    let host = host(&["s", "t"]).await;
    with_key(&host, "k1", &json!({ "content": "a" })).await.expect(202);
    with_key(&host, "k1", &json!({ "content": "b" })).await.problem(409, "idempotency", "idempotency_conflict");
    let elsewhere = json!({ "content": "b", "idempotency_key": "k1" });
    host.submit("t", &elsewhere).await.expect(202);
}

#[tokio::test]
async fn submissions_that_make_no_sense_are_refused() {
    let host = host(&["s"]).await;
    let target = json!([{ "plugin": "pigeon", "address": "coop" }]);
    for (body, code) in [
        (json!({}), "empty_content"),
        (json!({ "content": "" }), "empty_content"),
        (json!({ "content": "a", "input_items": [{ "type": "text", "text": "b" }] }), "conflicting_content"),
        (
            json!({ "input_items": [{ "type": "inline_asset", "file_name": "f", "content_base64": "!" }] }),
            "invalid_base64",
        ),
        (json!({ "input_items": [{ "type": "asset_reference", "asset_id": "none" }] }), "asset_not_found"),
        (json!({ "content": "a", "reply_targets": target }), "reply_target_invalid"),
    ] {
        host.submit("s", &body).await.problem(400, "runs", code);
    }
    for body in [json!({ "content": 1 }), json!({ "content": "a", "unknown": 1 }), json!([]), json!({ "metadata": [] })]
    {
        let answer = host.submit("s", &body).await;
        answer.problem(400, "api", "invalid_payload");
    }
    let broken = host.client().post_bytes("/v1/sessions/s/runs", "{").await;
    broken.problem(400, "api", "invalid_payload");
    let untyped = host.client().request(Method::POST, "/v1/sessions/s/runs").body("{\"content\":\"a\"}");
    client::answer(untyped).await.problem(415, "api", "unsupported_media_type");
    assert_eq!(host.ledger().await["runs"]["queued"], 0);
}

#[tokio::test]
async fn sessions_are_made_once_and_named_well() {
    let host = host(&[]).await;
    let first = host.post("/v1/sessions", &json!({ "session_id": "s" })).await.expect(201);
    let again = host.post("/v1/sessions", &json!({ "session_id": "s" })).await.expect(201);
    assert_eq!(first.json, again.json);
    assert_eq!(first.text("/state"), "idle");
    let named = host.post("/v1/sessions", &json!({})).await.expect(201);
    assert!(!named.text("/session_id").is_empty());
    for id in ["", ".", "..", "a\u{7}b"] {
        let answer = host.post("/v1/sessions", &json!({ "session_id": id })).await;
        answer.problem(400, "sessions", "invalid_session_id");
    }
    host.get("/v1/sessions/nowhere").await.problem(404, "sessions", "session_not_found");
    assert_eq!(host.ledger().await["sessions"]["total"], 2);
}
