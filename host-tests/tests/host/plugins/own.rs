//! A connector as a user would write one: the example, with a webhook as GitHub sends it.

use kheish_host_tests::{
    host::{GITHUB, Host},
    problem::INGRESS,
    sender::Sender,
    sign::hmac_hex,
};
use serde_json::json;

const SECRET: &str = "a webhook secret";

const CONNECTORS: &str = "[[connectors]]
kind = \"github\"
name = \"shop\"
webhook_secret = \"a webhook secret\"
events = [\"issues\"]
session_policy = { create_if_missing = true }
";

async fn host() -> Host {
    Host::builder().plugins(&[GITHUB]).connectors(CONNECTORS).start().await
}

fn body() -> String {
    json!({
        "action": "opened",
        "issue": { "number": 7, "title": "It is broken", "html_url": "https://github.com/acme/shop/issues/7" },
        "repository": { "full_name": "acme/shop" },
        "sender": { "login": "octocat" },
    })
    .to_string()
}

fn sender(host: &Host, event: &str, delivery: &str, secret: &str, body: &str) -> Sender {
    Sender::new(host.client(), "github", "shop")
        .header("x-github-event", event)
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", &format!("sha256={}", hmac_hex(secret, body.as_bytes())))
}

#[tokio::test]
async fn a_signed_webhook_becomes_a_run_once() {
    let host = host().await;
    let body = body();
    let first = sender(&host, "issues", "d-1", SECRET, &body).post_bytes(body.clone()).await.expect(200);
    assert_eq!((first.header("kheish-receipt"), first.text("/request/actor_id")), ("accepted", "octocat"));
    assert!(first.text("/input/0/text").contains("It is broken"), "{}", first.text("/input/0/text"));
    let again = sender(&host, "issues", "d-1", SECRET, &body).post_bytes(body.clone()).await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
    let other = sender(&host, "issues", "d-2", SECRET, &body).post_bytes(body.clone()).await.expect(200);
    assert_eq!(other.text("/session_id"), first.text("/session_id"), "one issue is one conversation");
}

#[tokio::test]
async fn a_forged_or_unwanted_webhook_leaves_nothing() {
    let host = host().await;
    let before = host.ledger().await;
    let body = body();
    let forged = sender(&host, "issues", "d-1", "another secret", &body).post_bytes(body.clone()).await;
    forged.problem(401, INGRESS, "invalid_signature");
    sender(&host, "star", "d-2", SECRET, &body).post_bytes(body.clone()).await.expect(204);
    sender(&host, "ping", "d-3", SECRET, &body).post_bytes(body.clone()).await.expect(204);
    assert_eq!(host.ledger().await, before);
}
