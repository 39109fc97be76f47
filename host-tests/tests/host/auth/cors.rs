//! Web pages that call the control plane.

use kheish_host_tests::{
    client::{self, Answer, Client},
    connectors::Http,
    host::Host,
};
use reqwest::Method;

use super::{ADMIN, anybody, guarded};

async fn from(client: &Client, method: Method, path: &str, origin: &str) -> Answer {
    client::answer(client.request(method, path).header("origin", origin)).await
}

#[track_caller]
fn assert_readable(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(answer.header("access-control-expose-headers"), "ETag, Retry-After, Kheish-Receipt");
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.problem(403, "cors", "origin_not_allowed");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn pages_of_this_machine_may_and_others_may_not() {
    let host = guarded().start().await;
    for origin in
        ["http://localhost:3000", "https://localhost", "http://127.0.0.1:8080", "http://127.3.2.1", "http://[::1]:5"]
    {
        let answer = from(host.client(), Method::GET, "/v1/status", origin).await.expect(200);
        assert_readable(&answer, origin);
        assert_readable(&from(host.client(), Method::GET, "/healthz", origin).await.expect(200), origin);
        // Errors can be read too.
        let answer = from(&anybody(&host), Method::GET, "/v1/status", origin).await;
        answer.problem(401, "auth", "missing_token");
        assert_readable(&answer, origin);
        let answer = from(host.client(), Method::GET, "/v1/nowhere", origin).await;
        answer.problem(404, "api", "route_not_found");
        assert_readable(&answer, origin);
    }
    for origin in [
        "null",
        "http://evil.example",
        "http://localhost.evil.example",
        "ftp://localhost",
        "http://localhost/",
        "http://10.0.0.1",
        "http://user@localhost",
        "",
    ] {
        for path in ["/v1/status", "/v1/nowhere", "/healthz", "/readyz", "/metrics"] {
            // Before any token is looked at, and also with a good one.
            assert_refused(&from(&anybody(&host), Method::GET, path, origin).await);
            assert_refused(&from(host.client(), Method::GET, path, origin).await);
        }
    }
    let two = host.client().request(Method::GET, "/v1/status");
    assert_refused(
        &client::answer(two.header("origin", "http://localhost").header("origin", "http://localhost")).await,
    );
    let none = host.get("/v1/status").await.expect(200);
    assert_eq!((none.header("access-control-allow-origin"), none.header("vary")), ("", ""));
}

#[tokio::test]
async fn a_browser_is_told_what_it_may_send() {
    let host = guarded().start().await;
    let client = anybody(&host);
    let ask = async |path: &str, origin: &str| {
        let request = client.request(Method::OPTIONS, path).header("origin", origin);
        client::answer(request.header("access-control-request-method", "PUT")).await
    };
    for path in ["/v1/status", "/v1/runtime/connectors/http/a", "/v1/runs", "/healthz"] {
        let answer = ask(path, "http://localhost:3000").await.expect(204);
        assert_readable(&answer, "http://localhost:3000");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert_eq!(answer.header("access-control-max-age"), "600");
        for name in ["authorization", "content-type", "x-kheish-daemon-token", "x-kheish-daemon-url", "idempotency-key"]
        {
            assert!(answer.header("access-control-allow-headers").split(", ").any(|allowed| allowed == name), "{name}");
        }
        assert!(answer.body.is_empty());
        assert_refused(&ask(path, "http://evil.example").await);
    }
    // OPTIONS without the question is a request like any other.
    from(&client, Method::OPTIONS, "/v1/status", "http://localhost").await.problem(401, "auth", "missing_token");
}

#[tokio::test]
async fn a_list_of_origins_is_exact() {
    let builders = [
        guarded()
            .flag("--http-cors-allow-origin", "http://localhost:3000")
            .flag("--http-cors-allow-origin", "https://[::1]"),
        guarded().env("KHEISH_HTTP_CORS_ALLOW_ORIGINS", "http://localhost:3000,https://[::1]:443"),
        guarded().settings("[auth]\ncors_allow_origins = [\"http://localhost:3000\", \"https://[::1]\"]\n"),
    ];
    for builder in builders {
        let host = builder.start().await;
        for origin in ["http://localhost:3000", "https://[::1]"] {
            assert_readable(&from(host.client(), Method::GET, "/v1/status", origin).await.expect(200), origin);
        }
        for origin in ["http://localhost", "https://localhost:3000", "http://127.0.0.1:3000", "https://[::1]:444"] {
            assert_refused(&from(host.client(), Method::GET, "/v1/status", origin).await);
        }
    }
}

#[tokio::test]
async fn connectors_are_no_business_of_pages() {
    let connector = Http::named("orders").bearer("tok");
    let host = Host::builder().token(ADMIN).connectors(connector).start().await;
    for origin in ["http://localhost", "http://evil.example"] {
        let sender = host.sender("orders").bearer("tok").header("origin", origin);
        let answer = sender.say(origin, "room", "hello").await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}
