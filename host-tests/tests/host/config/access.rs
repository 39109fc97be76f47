//! Who may use the control plane.

use kheish_host_tests::{
    client::{self, Client},
    connectors::Http,
    host::Host,
};
use reqwest::Method;
use serde_json::json;

use super::{assert_refused, builder};

const TOKEN: &str = "token-of-the-operator";

#[tokio::test]
async fn beyond_this_machine_a_token_is_needed() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ended = builder().listen(address).run_to_end().await;
        assert_refused(&ended, &[address, "KHEISH_DAEMON_ADMIN_TOKEN", "127.0.0.1"]);
    }
    let blank = builder().env("KHEISH_DAEMON_ADMIN_TOKEN", "  ").run_to_end().await;
    assert_refused(&blank, &["KHEISH_DAEMON_ADMIN_TOKEN", "empty"]);
    let host = builder().listen("0.0.0.0:0").token(TOKEN).start().await;
    host.get("/v1/status").await.expect(200);
}

#[tokio::test]
async fn with_a_token_the_control_plane_needs_it_and_nothing_else_does() {
    let connector = Http::named("orders").bearer("tok");
    let host = Host::builder().token(TOKEN).connectors(connector).start().await;
    let anybody = Client::new(host.client().base());
    for path in [
        "/v1/status",
        "/v1/plugins",
        "/v1/runs",
        "/v1/sessions",
        "/v1/deliveries",
        "/v1/runs/run_0",
        "/v1/assets/a/raw",
    ] {
        let answer = anybody.get(path).await;
        answer.problem(401, "auth", "missing_token");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"kheish-daemon\"");
    }
    for path in ["/v1/sessions", "/v1/sessions/s/runs", "/v1/runs/claim", "/v1/runs/run_0/finish"] {
        anybody.post(path, &json!({})).await.problem(401, "auth", "missing_token");
    }
    for path in ["/healthz", "/readyz"] {
        anybody.get(path).await.expect(200);
    }
    host.sender("orders").bearer("tok").say("k1", "room", "hello").await.expect(200);
    // The operator's token is not a caller's, and a caller's is not the operator's.
    host.sender("orders").bearer(TOKEN).say("k2", "room", "hello").await.expect(401);
    anybody.with_token("tok").get("/v1/status").await.problem(401, "auth", "invalid_token");
    host.get("/v1/status").await.expect(200);
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_the_token_exactly() {
    let host = builder().token(TOKEN).start().await;
    let anybody = Client::new(host.client().base());
    let with = |value: String| anybody.request(Method::GET, "/v1/status").header("authorization", value);
    for good in ["Bearer", "bearer", "BEARER"] {
        client::answer(with(format!("{good} {TOKEN}"))).await.expect(200);
    }
    for (value, code) in [
        (TOKEN.to_owned(), "malformed_token"),
        (format!("Basic {TOKEN}"), "malformed_token"),
        ("Bearer".to_owned(), "malformed_token"),
        (format!("Bearer {TOKEN}x"), "invalid_token"),
        (format!("Bearer {}", TOKEN.to_uppercase()), "invalid_token"),
    ] {
        client::answer(with(value)).await.problem(401, "auth", code);
    }
}
