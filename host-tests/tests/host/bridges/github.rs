//! The bridge to GitHub, with a double of its API.

use kheish_host_tests::{
    client::{Answer, Client, answer, try_answer},
    host::Host,
    program::free_port,
    receiver::{Received, Receiver, Reply},
    sidecar::health_when,
    sign::hmac_hex,
    wait::eventually,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{QUICK, folder, put_child, store};

const SECRET: &str = "webhook-secret";
const COMMENTS: &str = "/repos/acme/shop/issues/7/comments";

/// Sends a webhook as GitHub does: a comment on an issue.
async fn hook(port: u16, delivery: &str, text: &str, secret: &str) -> Answer {
    answer(webhook(port, delivery, text, secret)).await
}

fn webhook(port: u16, delivery: &str, text: &str, secret: &str) -> RequestBuilder {
    let body = json!({
        "action": "created", "repository": { "full_name": "acme/shop" }, "sender": { "login": "ann", "type": "User" },
        "issue": { "number": 7, "title": "It is broken" },
        "comment": { "body": text, "author_association": "MEMBER", "html_url": "https://github.example/c" },
    })
    .to_string();
    let signature = format!("sha256={}", hmac_hex(secret, body.as_bytes()));
    let request = Client::new(&format!("http://127.0.0.1:{port}")).request(Method::POST, "/github");
    let request = request.header("x-github-event", "issue_comment").header("x-github-delivery", delivery);
    request.header("x-hub-signature-256", signature).body(body)
}

/// GitHub's API, which takes this token.
fn api(token: &'static str) -> impl Fn(&Received) -> Reply {
    move |request| match request.header("authorization").strip_prefix("Bearer ") {
        Some(shown) if shown == token && request.method == "POST" => {
            Reply::Body(201, "application/json", json!({ "html_url": "https://github.example/c2" }).to_string())
        }
        Some(shown) if shown == token && request.path == COMMENTS => Reply::Body(200, "application/json", "[]".into()),
        Some(shown) if shown == token => Reply::Body(200, "application/json", "{}".into()),
        _ => Reply::Status(401),
    }
}

/// The comments that were taken, once there are so many.
async fn comments(github: &Receiver, token: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} comments"), async || {
        let posts = github.received_at(COMMENTS).into_iter();
        let taken = posts.filter(|post| post.method == "POST" && post.header("authorization").ends_with(token));
        let bodies: Vec<Value> = taken.map(|post| post.body["body"].clone()).collect();
        (bodies.len() >= count).then_some(bodies)
    })
    .await
}

#[tokio::test]
async fn comments_are_answered_and_a_rotated_token_reaches_the_child() {
    let github = Receiver::scripted(api("first-token")).await;
    let host = Host::builder().plugins(&[]).executor("echo").settings(QUICK).start().await;
    store(&host, "github-secret", SECRET).await;
    store(&host, "github-token", "first-token").await;
    let webhooks = free_port();
    let child = json!({
        "command": "node", "args": ["github/main.js"], "working_dir": folder("sidecar-node"),
        "env": { "GITHUB_LISTEN": format!("127.0.0.1:{webhooks}"), "GITHUB_API_URL": github.url("") },
        "credential_slots": { "GITHUB_WEBHOOK_SECRET": "github-secret", "GITHUB_TOKEN": "github-token" },
    });
    put_child(&host, "github", free_port(), &child).await;
    health_when(&host, "github", "ready").await;

    hook(webhooks, "delivery-0", "Let me in", "another-secret").await.expect(401);
    let taken = hook(webhooks, "delivery-1", "Does it work?", SECRET).await.expect(200);
    assert_eq!(taken.json["status"], "accepted");
    assert_eq!(hook(webhooks, "delivery-1", "Does it work?", SECRET).await.expect(200).json["status"], "duplicate");
    let said = comments(&github, "first-token", 1).await;
    let said = said[0].as_str().unwrap();
    assert!(said.contains("ann commented on issue #7: It is broken") && said.contains("<!-- kheish:"), "{said}");
    host.deliveries_when(taken.text("/run_id"), 1, "delivered").await;

    github.follow(api("second-token"));
    store(&host, "github-token", "second-token").await;
    // The child may be between two lives, and GitHub's webhooks are then sent again by hand.
    eventually("a webhook is taken", async || {
        let taken = try_answer(webhook(webhooks, "delivery-2", "And now?", SECRET)).await.ok()?;
        (taken.status == 200).then_some(())
    })
    .await;
    comments(&github, "second-token", 1).await;
    assert_eq!(comments(&github, "first-token", 1).await.len(), 1, "each is answered once");
}
