//! What each token is good for.

use kheish_host_tests::{client, raw};
use reqwest::Method;

use super::{ADMIN, READER, anybody, guarded, head};

/// GETs that the read-only token is good for, whether this version has the route or not.
const FOR_READING: [&str; 19] = [
    "/v1/status",
    "/v1/openapi.json",
    "/v1/plugins",
    "/v1/runtime/kinds",
    "/v1/runtime/kinds/http",
    "/v1/runtime/connectors",
    "/v1/runtime/connectors/http/orders",
    "/v1/events/stream",
    "/v1/sessions",
    "/v1/sessions/s",
    "/v1/sessions/s/reply-targets",
    "/v1/runs",
    "/v1/runs/run_0",
    "/v1/runs?limit=1",
    "/v1/deliveries",
    "/v1/deliveries/delivery_0",
    "/v1/deliveries?session_id=..%2fa",
    "/v1/runs/claim",
    "/metrics",
];

/// GETs that need the admin token.
const FOR_ADMINS: [&str; 10] = [
    "/v1/runtime/secrets",
    "/v1/runtime/secrets/slot",
    "/v1/runtime/connectors/http",
    "/v1/runtime/connectors/http/orders/more",
    "/v1/assets/asset_0/raw",
    "/v1/assets/asset_0",
    "/v1/sessions/s/runs",
    "/v1/sessions/s/input",
    "/v1/runs/run_0/finish",
    "/v1/whatever",
];

#[tokio::test]
async fn the_read_only_token_is_good_for_what_is_listed() {
    let host = guarded().start().await;
    let client = anybody(&host);
    for path in FOR_READING {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let ask = async |token| client::answer(client.with_token(token).request(method.clone(), path)).await.status;
            assert!(![401, 403].contains(&ask(READER).await), "{method} {path}");
            assert!(![401, 403].contains(&ask(ADMIN).await), "{method} {path}");
            assert_eq!(client::answer(client.request(method.clone(), path)).await.status, 401, "{method} {path}");
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let ask = async |token| client::answer(client.with_token(token).request(method.clone(), path)).await;
            ask(READER).await.problem(403, "auth", "insufficient_access");
            assert!(![401, 403].contains(&ask(ADMIN).await.status), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn everything_else_needs_the_admin_token() {
    let host = guarded().start().await;
    let client = anybody(&host);
    for path in FOR_ADMINS {
        client.get(path).await.problem(401, "auth", "missing_token");
        client.with_token(READER).get(path).await.problem(403, "auth", "insufficient_access");
        assert!(![401, 403].contains(&host.get(path).await.status), "{path}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_further() {
    let host = guarded().start().await;
    for path in [
        "/v1/runs/../runtime/secrets",
        "/v1/runs/..",
        "/v1/runs/%2e%2e",
        "/v1/runs/..%2fruntime%2fsecrets",
        "/v1/runs/a%2Fraw",
        "/v1/runs/%252e%252e",
        "/v1/runs//stream",
        "/v1/runtime/kinds/../secrets",
        "/v1/runtime/kinds/%2e%2e/secrets",
        "/v1/runtime/connectors/http/%2e%2e",
        "/v1//status",
        "/v1/status/",
        "/v1/STATUS",
        "/v1/status%2f",
        "/v1/status;x",
        "/v1/./status",
        "/v1/connectors",
        "http://localhost/v1/runtime/secrets",
    ] {
        let reader = head("GET", path, &format!("host: localhost\r\nauthorization: Bearer {READER}\r\n"));
        let (status, answer) = raw::exchange(host.client(), &reader).await;
        assert_eq!(status, 403, "{path}: {answer}");
        let (status, answer) = raw::exchange(host.client(), &head("GET", path, "host: localhost\r\n")).await;
        assert_eq!(status, 401, "{path}: {answer}");
    }
    // What the router takes for a connector's path is one, and leads to no handler of the control plane.
    for path in ["/v1/connectors/../status", "/v1/connectors/..%2fstatus/x", "/v1/connectors/%2e%2e/runtime/secrets"] {
        let (status, answer) = raw::exchange(host.client(), &head("GET", path, "host: localhost\r\n")).await;
        assert!(status == 404 && answer.contains("connector_not_found"), "{path}: {answer}");
    }
    for path in ["//v1/status", "/%761/status", "/v1%2fstatus", "/x/../v1/status"] {
        let (status, answer) = raw::exchange(host.client(), &head("GET", path, "host: localhost\r\n")).await;
        assert!(status == 404 && answer.contains("route_not_found"), "{path}: {answer}");
    }
}
