//! What a payload may hold.

use kheish_host_tests::sender::event;
use serde_json::{Value, json};

use super::orders;

fn with(member: &str, value: Value) -> Value {
    let mut payload = event("k1", "room", "hello");
    payload[member] = value;
    payload
}

fn without_content(member: &str, value: Value) -> Value {
    let mut payload = json!({ "idempotency_key": "k1", "binding_keys": ["room"] });
    payload[member] = value;
    payload
}

fn text_item(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn file(content_base64: &str) -> Value {
    json!({ "type": "inline_asset", "file_name": "a.txt", "media_type": "text/plain", "content_base64": content_base64 })
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let (host, sender) = orders(|http| http).await;
    let bodies: [&[u8]; 14] = [
        b"",
        b" ",
        b"{",
        b"{\"content\":",
        b"{\"content\":\"a\"",
        b"{\"content\":\"a\"} x",
        b"{'content':'a'}",
        b"null",
        b"true",
        b"1",
        b"\"text\"",
        b"[]",
        b"[{\"content\":\"a\"}]",
        b"{\"content\":\"\xff\xfe\"}",
    ];
    for body in bodies {
        host.refuses(400, "invalid_payload", sender.post_bytes(body)).await;
    }
}

#[tokio::test]
async fn fields_that_are_unknown_or_of_another_type_are_refused() {
    let (host, sender) = orders(|http| http).await;
    let unknown = host.refuses(400, "invalid_payload", sender.post(&with("contents", json!("typo")))).await;
    assert!(unknown.text("/detail").contains("contents"), "{}", unknown.json);
    host.refuses(400, "invalid_payload", sender.post(&with("provider", json!("gpt")))).await;
    for (member, value) in [
        ("content", json!(1)),
        ("content", json!(["a"])),
        ("binding_keys", json!("room")),
        ("binding_keys", json!([1])),
        ("idempotency_key", json!(7)),
        ("session_id", json!({})),
        ("actor_id", json!(["a"])),
        ("input_items", json!({})),
        ("attachments", json!("a")),
        ("reply_targets", json!({})),
    ] {
        host.refuses(400, "invalid_payload", sender.post(&with(member, value))).await;
    }
}

#[tokio::test]
async fn depth_is_bounded_and_moderate_depth_is_fine() {
    let (host, sender) = orders(|http| http).await;
    for depth in [1_000, 100_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(
            "{{\"idempotency_key\":\"k1\",\"binding_keys\":[\"room\"],\"content\":\"a\",\"metadata\":{nested}}}"
        );
        host.refuses(400, "invalid_payload", sender.post_bytes(body)).await;
    }
    let nested = (0..100).fold(json!("core"), |inner, _| json!({ "in": inner }));
    sender.post(&with("metadata", nested)).await.expect(200);
}

#[tokio::test]
async fn an_event_says_something() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(400, "empty_content", sender.post(&json!({ "idempotency_key": "k1", "binding_keys": ["room"] })))
        .await;
    host.refuses(400, "empty_content", sender.post(&with("content", json!("")))).await;
    host.refuses(400, "empty_content", sender.post(&without_content("input_items", json!([])))).await;
    sender.post(&without_content("input_items", json!([text_item("one"), text_item("two")]))).await.expect(200);
}

#[tokio::test]
async fn input_items_stand_alone() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(400, "conflicting_content", sender.post(&with("input_items", json!([text_item("two")])))).await;
    let mut payload = without_content("input_items", json!([text_item("one")]));
    payload["attachments"] = json!([file("aGk=")]);
    host.refuses(400, "conflicting_content", sender.post(&payload)).await;
}

#[tokio::test]
async fn items_are_of_known_types_and_well_formed() {
    let (host, sender) = orders(|http| http).await;
    for item in [
        json!({ "type": "video", "url": "x" }),
        json!({ "text": "no type" }),
        json!({ "type": "text" }),
        json!({ "type": "text", "text": "a", "more": 1 }),
        json!({ "type": "asset_reference" }),
        json!("text"),
    ] {
        host.refuses(400, "invalid_payload", sender.post(&without_content("input_items", json!([item])))).await;
    }
    host.refuses(400, "invalid_base64", sender.post(&without_content("input_items", json!([file("not base64!")]))))
        .await;
    let board = json!({ "type": "board_reference", "board_id": "b" });
    host.refuses(400, "unsupported_input", sender.post(&without_content("input_items", json!([board])))).await;
    let missing = json!({ "type": "asset_reference", "asset_id": "0".repeat(64) });
    host.refuses(400, "asset_not_found", sender.post(&without_content("input_items", json!([missing])))).await;
}

#[tokio::test]
async fn a_file_that_comes_along_is_kept() {
    let (host, sender) = orders(|http| http).await;
    let answer = sender.post(&with("attachments", json!([file("aGVsbG8=")]))).await.expect(200);
    let kept = &answer.json["input"][1];
    assert_eq!((kept["type"].as_str(), kept["file_name"].as_str()), (Some("asset"), Some("a.txt")));
    let id = kept["asset_id"].as_str().unwrap_or_default();
    let bytes = host.get(&format!("/v1/assets/{id}/raw")).await.expect(200);
    assert_eq!(&bytes.body[..], b"hello");
    // What is stored can be referred to by those who are let in.
    let mut payload = without_content("input_items", json!([{ "type": "asset_reference", "asset_id": id }]));
    payload["idempotency_key"] = json!("k2");
    sender.post(&payload).await.expect(200);
}

#[tokio::test]
async fn counts_and_sizes_are_bounded() {
    let (host, sender) = orders(|http| http).await;
    let items = |count: usize| Value::from(vec![text_item("x"); count]);
    sender.post(&without_content("input_items", items(64))).await.expect(200);
    host.refuses(400, "too_many_input_items", sender.post(&without_content("input_items", items(65)))).await;
    host.refuses(400, "too_many_attachments", sender.post(&with("attachments", Value::from(vec![file("aGk="); 11]))))
        .await;
    let long = "x".repeat(1024 * 1024);
    sender.post(&json!({ "idempotency_key": "k2", "binding_keys": ["room"], "content": long })).await.expect(200);
    host.refuses(400, "content_too_large", sender.post(&with("content", json!(format!("{long}y"))))).await;
    let big_file = file(&"A".repeat(1_400_004));
    host.refuses(400, "inline_file_too_large", sender.post(&with("attachments", json!([big_file])))).await;
    let big_metadata = json!({ "a": "x".repeat(64 * 1024) });
    host.refuses(400, "metadata_too_large", sender.post(&with("metadata", big_metadata))).await;
    let many_keys: Vec<String> = (0..65).map(|n| format!("key {n}")).collect();
    host.refuses(400, "invalid_binding_keys", sender.post(&with("binding_keys", json!(many_keys)))).await;
    for key in [" ".to_owned(), "k".repeat(513)] {
        host.refuses(400, "invalid_binding_keys", sender.post(&with("binding_keys", json!([key])))).await;
    }
    host.refuses(400, "invalid_idempotency_key", sender.post(&with("idempotency_key", json!("k".repeat(513))))).await;
}

#[tokio::test]
async fn metadata_is_taken_as_it_is_and_reserved_keys_are_refused() {
    let (host, sender) = orders(|http| http).await;
    for key in ["connector_ingress_key", "http_ingress_key", "http_ingress_key_sha256", "http_ingress_fingerprint"] {
        host.refuses(400, "reserved_metadata", sender.post(&with("metadata", json!({ key: "mine" })))).await;
    }
    for (key, sent, kept) in [
        ("m1", json!({ "a": { "b": [1, null, "x"] } }), json!({ "a": { "b": [1, null, "x"] } })),
        ("m2", json!("plain"), json!({ "payload": "plain" })),
        ("m3", json!([1, 2]), json!({ "payload": [1, 2] })),
        ("m4", json!(7), json!({ "payload": 7 })),
    ] {
        let mut payload = with("metadata", sent);
        payload["idempotency_key"] = json!(key);
        let answer = sender.post(&payload).await.expect(200);
        for (name, value) in kept.as_object().into_iter().flatten() {
            assert_eq!(&answer.json["input_metadata"][name], value);
        }
    }
}
