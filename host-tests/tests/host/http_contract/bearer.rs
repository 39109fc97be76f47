//! Bearer tokens: the exact prefix, the exact token, once.

use kheish_host_tests::sender::event;

use super::{TOKEN, orders};

#[tokio::test]
async fn the_token_lets_in() {
    let (host, sender) = orders(|http| http).await;
    let answer = sender.say("k1", "room", "hello").await.expect(200);
    assert_eq!(answer.header("kheish-receipt"), "accepted");
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn whoever_shows_anything_else_stays_out() {
    let (host, _) = orders(|http| http).await;
    let cases = [
        (vec![], "missing_token"),
        (vec![format!("bearer {TOKEN}")], "malformed_token"),
        (vec![format!("BEARER {TOKEN}")], "malformed_token"),
        (vec![format!("Bearer\t{TOKEN}")], "malformed_token"),
        (vec![TOKEN.to_owned()], "malformed_token"),
        (vec!["Bearer".to_owned()], "malformed_token"),
        (vec![format!("Basic {TOKEN}")], "malformed_token"),
        (vec![format!("Bearer  {TOKEN}")], "invalid_token"),
        (vec![format!("Bearer {TOKEN}x")], "invalid_token"),
        (vec![format!("Bearer {}", &TOKEN[1..])], "invalid_token"),
        (vec![format!("Bearer {}", TOKEN.to_uppercase())], "invalid_token"),
        (vec![format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}")], "malformed_token"),
        (vec![format!("Bearer {TOKEN}"), "Bearer other".to_owned()], "malformed_token"),
    ];
    for (values, code) in cases {
        let caller = values.iter().fold(host.sender("orders"), |caller, value| caller.header("authorization", value));
        let answer = host.refuses(401, code, caller.say("k1", "room", "hello")).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{values:?}");
    }
}

#[tokio::test]
async fn who_calls_is_settled_before_anything_is_parsed() {
    let (host, _) = orders(|http| http).await;
    host.refuses(401, "missing_token", host.sender("orders").post_bytes("{ not json")).await;
    let caller = host.sender("orders").bearer("wrong");
    host.refuses(401, "invalid_token", caller.post_bytes("[".repeat(100_000))).await;
}

#[tokio::test]
async fn neither_the_admin_token_nor_a_token_in_the_query_or_the_payload_counts() {
    let (host, _) = orders(|http| http).await;
    let by_query = host.sender("orders").at(&format!("?access_token={TOKEN}&token={TOKEN}"));
    host.refuses(401, "missing_token", by_query.say("k1", "room", "hello")).await;
    let mut payload = event("k1", "room", "hello");
    payload["bearer_token"] = TOKEN.into();
    host.refuses(401, "missing_token", host.sender("orders").post(&payload)).await;
}
