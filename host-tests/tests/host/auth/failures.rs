//! What whoever is not let in is told.

use kheish_host_tests::{
    client::{self, Client},
    connectors::Http,
    host::Host,
    raw,
};
use reqwest::Method;
use serde_json::json;

use super::{ADMIN, READER, anybody, guarded, head};

#[tokio::test]
async fn each_mistake_has_its_code() {
    let host = guarded().start().await;
    let client = anybody(&host);
    let cases = [
        (vec![], 401, "missing_token"),
        (vec![ADMIN.to_owned()], 401, "malformed_token"),
        (vec![format!("Basic {ADMIN}")], 401, "malformed_token"),
        (vec!["Bearer".to_owned()], 401, "malformed_token"),
        (vec![String::new()], 401, "malformed_token"),
        (vec![format!("Bearer\t{ADMIN}")], 401, "malformed_token"),
        (vec![format!("Bearer {ADMIN}"), format!("Bearer {ADMIN}")], 401, "malformed_token"),
        (vec![format!("Bearer {ADMIN}x")], 401, "invalid_token"),
        (vec![format!("Bearer {}", &ADMIN[1..])], 401, "invalid_token"),
        (vec![format!("Bearer  {ADMIN}")], 401, "invalid_token"),
        (vec![format!("Bearer {}", ADMIN.to_uppercase())], 401, "invalid_token"),
        (vec![format!("Bearer {READER}")], 403, "insufficient_access"),
    ];
    for (values, status, code) in cases {
        let request = client.request(Method::POST, "/v1/sessions").json(&json!({ "session_id": "s" }));
        let request = values.iter().fold(request, |request, value| request.header("authorization", value));
        let answer = client::answer(request).await;
        answer.problem(status, "auth", code);
        let challenge = if status == 401 { "Bearer realm=\"kheish-daemon\"" } else { "" };
        assert_eq!(answer.header("www-authenticate"), challenge, "{values:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = client.request(Method::GET, "/v1/status").header("authorization", format!("{scheme} {ADMIN}"));
        client::answer(request).await.expect(200);
    }
    assert!(host.get("/v1/sessions").await.expect(200).items().is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_not_told_to_strangers() {
    let host = guarded().start().await;
    let client = anybody(&host);
    for path in ["/v1", "/v1/", "/v1/nowhere", "/v1/runs/run_0/nothing", "/v1/connectors", "/metrics/x"] {
        client.get(path).await.problem(401, "auth", "missing_token");
        client.with_token(READER).get(path).await.problem(403, "auth", "insufficient_access");
        host.get(path).await.problem(404, "api", "route_not_found");
    }
    // A method that a path has not is no more told than the path.
    client.post("/v1/status", &json!({})).await.problem(401, "auth", "missing_token");
    client.get("/nowhere").await.problem(404, "api", "route_not_found");
}

#[tokio::test]
async fn nobody_waits_for_the_body_of_a_stranger() {
    let host = guarded().start().await;
    let request = head(
        "POST",
        "/v1/sessions",
        "host: localhost\r\ncontent-length: 1000000\r\ncontent-type: application/json\r\n",
    );
    let (status, answer) = raw::exchange(host.client(), &request).await;
    assert_eq!(status, 401, "{answer}");
}

#[tokio::test]
async fn probes_and_connectors_ask_for_no_operators_token() {
    let connector = Http::named("orders").bearer("tok");
    let host = Host::builder().token(ADMIN).connectors(connector).start().await;
    let client = anybody(&host);
    for path in ["/healthz", "/readyz"] {
        client.get(path).await.expect(200);
    }
    host.sender("orders").bearer("tok").say("k1", "room", "hello").await.expect(200);
    // The operator's token is not a caller's, and a caller's is not the operator's.
    host.sender("orders").bearer(ADMIN).say("k2", "room", "hello").await.expect(401);
    client.with_token("tok").get("/v1/status").await.problem(401, "auth", "invalid_token");
    Client::get(host.client(), "/v1/status").await.expect(200);
}
