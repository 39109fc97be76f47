//! Routes, methods and sizes.

use kheish_host_tests::{problem::INGRESS, raw, sender::event};
use reqwest::Method;

use super::{TOKEN, orders};

const LIMIT: usize = 2 * 1024 * 1024;

#[tokio::test]
async fn a_connector_that_is_not_there_is_not_found() {
    let (host, _) = orders(|http| http).await;
    for path in [
        "/v1/connectors/http/nobody",
        "/v1/connectors/slack/orders",
        "/v1/connectors/http/ORDERS",
        "/v1/connectors/http/nobody/below",
    ] {
        let before = host.ledger().await;
        host.post(path, &event("k1", "room", "a")).await.problem(404, INGRESS, "connector_not_found");
        assert_eq!(host.ledger().await, before);
    }
}

#[tokio::test]
async fn nothing_lies_below_the_route() {
    let (host, sender) = orders(|http| http).await;
    host.refuses(404, "route_not_found", sender.at("/below").say("k1", "room", "a")).await;
}

#[tokio::test]
async fn names_that_are_no_text_are_refused_in_the_common_form() {
    let (host, _) = orders(|http| http).await;
    let answer = host.post("/v1/connectors/http/%FF", &event("k1", "room", "a")).await;
    assert!([400, 404].contains(&answer.status), "{}", answer.status);
    answer.problem_of(answer.status, INGRESS);
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let (host, _) = orders(|http| http).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = host.client().request(method.clone(), "/v1/connectors/http/orders").bearer_auth(TOKEN);
        let answer = host.refuses(405, "method_not_allowed", kheish_host_tests::client::answer(request)).await;
        assert_eq!(answer.header("allow"), "POST", "{method}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let (host, _) = orders(|http| http).await;
    let before = host.ledger().await;
    let head = format!(
        "POST /v1/connectors/http/orders HTTP/1.1\r\nhost: kheish\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        LIMIT + 1
    );
    let (status, answer) = raw::exchange(host.client(), head.as_bytes()).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("\"payload_too_large\""), "{answer}");
    assert_eq!(host.ledger().await, before);
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused() {
    let (host, _) = orders(|http| http).await;
    let before = host.ledger().await;
    let mut request = format!(
        "POST /v1/connectors/http/orders HTTP/1.1\r\nhost: kheish\r\nauthorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..LIMIT / 65_536 + 1 {
        request.extend_from_slice(b"10000\r\n");
        request.extend_from_slice(&[b' '; 65_536]);
        request.extend_from_slice(b"\r\n");
    }
    let (status, answer) = raw::exchange(host.client(), &request).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("\"payload_too_large\"") && answer.contains(INGRESS), "{answer}");
    assert_eq!(host.ledger().await, before);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let (host, sender) = orders(|http| http).await;
    let payload = event("k1", "room", "a").to_string();
    let body = format!("{payload}{}", " ".repeat(LIMIT - payload.len()));
    sender.post_bytes(body).await.expect(200);
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn a_caller_who_may_not_call_does_not_learn_the_limit() {
    let (host, _) = orders(|http| http).await;
    let head =
        format!("POST /v1/connectors/http/orders HTTP/1.1\r\nhost: kheish\r\ncontent-length: {}\r\n\r\n", LIMIT * 4);
    let (status, answer) = raw::exchange(host.client(), head.as_bytes()).await;
    assert_eq!(status, 401, "{answer}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_the_middle_leaves_nothing() {
    let (host, sender) = orders(|http| http).await;
    let head = format!(
        "POST /v1/connectors/http/orders HTTP/1.1\r\nhost: kheish\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100\r\n\r\n{{\"content\":"
    );
    raw::abandon(host.client(), head.as_bytes()).await;
    sender.say("k1", "room", "after").await.expect(200);
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}
