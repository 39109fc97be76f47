//! Connectors that are open on purpose: callers may say something, but not decide where it goes.

use kheish_host_tests::{connectors::Http, host::Host};
use serde_json::{Value, json};

async fn host() -> Host {
    let lobby = Http::named("lobby").open().fast().set("default_binding_keys = [\"lobby\"]");
    Host::builder().connectors(lobby).start().await
}

fn with(member: &str, value: Value) -> Value {
    let mut payload = json!({ "idempotency_key": "k1", "content": "hello" });
    payload[member] = value;
    payload
}

#[tokio::test]
async fn anybody_may_speak() {
    let host = host().await;
    let answer = host.sender("lobby").post(&json!({ "idempotency_key": "k1", "content": "hello" })).await.expect(200);
    assert_eq!(answer.text("/request/actor_id"), "http-webhook");
    // A token that nobody asked for does no harm.
    host.sender("lobby")
        .bearer("whatever")
        .post(&json!({ "idempotency_key": "k2", "content": "hello" }))
        .await
        .expect(200);
}

#[tokio::test]
async fn nobody_chooses_the_session() {
    let host = host().await;
    host.refuses(400, "session_id_not_allowed", host.sender("lobby").post(&with("session_id", json!("vip")))).await;
    host.refuses(400, "binding_keys_not_allowed", host.sender("lobby").post(&with("binding_keys", json!(["vip"]))))
        .await;
}

#[tokio::test]
async fn nobody_chooses_where_answers_go() {
    let host = host().await;
    let target = json!([{ "plugin": "http", "address": "https://example.com/" }]);
    host.refuses(400, "reply_targets_not_allowed", host.sender("lobby").post(&with("reply_targets", target))).await;
    let mut payload = with("reply_plugin", json!("http"));
    payload["reply_address"] = json!("https://example.com/");
    host.refuses(400, "reply_targets_not_allowed", host.sender("lobby").post(&payload)).await;
    let half = with("reply_plugin", json!("http"));
    host.refuses(400, "reply_targets_not_allowed", host.sender("lobby").post(&half)).await;
}

#[tokio::test]
async fn nobody_refers_to_what_is_stored_here() {
    let host = host().await;
    let stored = json!({ "type": "asset_reference", "asset_id": "0".repeat(64) });
    let board = json!({ "type": "board_reference", "board_id": "b" });
    for (item, code) in [(&stored, "asset_reference_not_allowed"), (&board, "unsupported_input")] {
        let payload = json!({ "idempotency_key": "k1", "input_items": [item] });
        host.refuses(400, code, host.sender("lobby").post(&payload)).await;
    }
    let attached = with("attachments", json!([stored]));
    host.refuses(400, "asset_reference_not_allowed", host.sender("lobby").post(&attached)).await;
}
