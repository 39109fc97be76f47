//! Reply targets that a payload brings along: only where the operator allows it, and never into the private network.

use kheish_host_tests::sender::event;
use serde_json::{Value, json};

use super::orders;

const ALLOW: &str = "allow_payload_reply_targets = true";

fn with_target(address: &str) -> Value {
    let mut payload = event("k1", "room", "hello");
    payload["reply_targets"] = json!([{ "plugin": "http", "address": address }]);
    payload
}

fn with_pair(plugin: &str, address: &str) -> Value {
    let mut payload = event("k1", "room", "hello");
    payload["reply_plugin"] = json!(plugin);
    payload["reply_address"] = json!(address);
    payload
}

#[tokio::test]
async fn they_are_refused_unless_allowed() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(400, "reply_targets_not_allowed", sender.post(&with_target("https://example.com/a"))).await;
    host.refuses(400, "reply_targets_not_allowed", sender.post(&with_pair("http", "https://example.com/a"))).await;
}

#[tokio::test]
async fn where_they_are_allowed_they_take_the_place_of_the_connectors_own() {
    let own = "default_reply_targets = [{ plugin = \"http\", address = \"https://example.com/own\" }]";
    let (_host, sender) = orders(|http| http.set(ALLOW).set(own)).await;
    let by_default = sender.say("k0", "room", "hello").await.expect(200);
    assert_eq!(by_default.text("/reply_targets/0/address"), "https://example.com/own");
    let listed = sender.post(&with_target("https://example.com/a")).await.expect(200);
    assert_eq!(listed.json["reply_targets"], json!([{ "plugin": "http", "address": "https://example.com/a" }]));
    let mut pair = with_pair("http", "https://example.com/b");
    pair["idempotency_key"] = json!("k2");
    let paired = sender.post(&pair).await.expect(200);
    assert_eq!(paired.json["reply_targets"], json!([{ "plugin": "http", "address": "https://example.com/b" }]));
    let mut structured = event("k3", "room", "hello");
    let once = json!({ "type": "http", "url": "https://example.com/c" });
    structured["reply_targets"] = json!([once, once]);
    let kept = sender.post(&structured).await.expect(200);
    assert_eq!(kept.json["reply_targets"], json!([{ "plugin": "http", "address": "https://example.com/c" }]));
}

#[tokio::test]
async fn a_target_that_cannot_be_delivered_to_is_refused_at_once() {
    let (host, sender) = orders(|http| http.set(ALLOW)).await;
    let bad = [
        "not a url",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "{\"url\":\"https://example.com/\",\"unknown\":1}",
    ];
    for address in bad {
        host.refuses(400, "reply_target_invalid", sender.post(&with_target(address))).await;
    }
    host.refuses(400, "reply_target_invalid", sender.post(&with_pair("pigeon", "coop 7"))).await;
    host.refuses(400, "reply_target_invalid", sender.post(&with_target("https://user:word@example.com/"))).await;
    host.refuses(400, "invalid_reply_target", sender.post(&with_target(" "))).await;
    for header in
        ["authorization", "Host", "cookie", "content-length", "idempotency-key", "x-forwarded-for", "x-api-key"]
    {
        let address = json!({ "url": "https://example.com/", "headers": { header: "x" } }).to_string();
        host.refuses(400, "reply_target_invalid", sender.post(&with_target(&address))).await;
    }
}

#[tokio::test]
async fn a_caller_cannot_grant_itself_the_private_network() {
    let (host, sender) = orders(|http| http.set(ALLOW)).await;
    let address = json!({ "url": "http://127.0.0.1:9/", "allow_private_network": true }).to_string();
    host.refuses(400, "reply_target_invalid", sender.post(&with_target(&address))).await;
}

#[tokio::test]
async fn half_a_pair_is_refused() {
    let (host, sender) = orders(|http| http.set(ALLOW)).await;
    for member in ["reply_plugin", "reply_address"] {
        let mut payload = event("k1", "room", "hello");
        payload[member] = json!("http");
        host.refuses(400, "invalid_reply_target", sender.post(&payload)).await;
    }
}
