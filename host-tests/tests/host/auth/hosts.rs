//! Without tokens the daemon answers to names of this machine only.

use kheish_host_tests::{connectors::Http, host::Host, raw};

use super::{ADMIN, head};

const OTHERS: [&str; 7] = [
    "evil.example",
    "localhost.evil.example:4000",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "0.0.0.0:4000",
    "user@localhost",
    "",
];

#[tokio::test]
async fn a_page_with_a_name_of_its_own_gets_nothing() {
    let host = Host::builder().connectors(Http::named("orders").bearer("tok")).start().await;
    let ask = async |path: &str, lines: &str| raw::exchange(host.client(), &head("GET", path, lines)).await;
    for name in
        ["localhost", "LOCALHOST:4000", "a.localhost", "localhost.", "127.0.0.1:4000", "127.8.8.8", "[::1]:4000"]
    {
        let (status, answer) = ask("/v1/status", &format!("host: {name}\r\n")).await;
        assert_eq!(status, 200, "{name}: {answer}");
    }
    for name in OTHERS {
        let line = format!("host: {name}\r\n");
        for path in ["/v1/status", "/v1/nowhere", "/metrics"] {
            let (status, answer) = ask(path, &line).await;
            assert!(status == 403 && answer.contains("host_not_allowed"), "{name}: {answer}");
        }
        // Probes tell nothing, and connectors verify callers by themselves, also behind a public name.
        assert_eq!(ask("/healthz", &line).await.0, 200, "{name}");
        let (status, answer) = ask("/v1/connectors/http/orders", &line).await;
        assert!(status != 403, "{name}: {answer}");
    }
    let (status, answer) = ask("/v1/status", "host: localhost\r\nhost: evil.example\r\n").await;
    assert!([400, 403].contains(&status), "{answer}");
    let (status, answer) = ask("http://evil.example/v1/status", "host: localhost\r\n").await;
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = raw::exchange(host.client(), b"GET /v1/status HTTP/1.0\r\n\r\n").await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn with_a_token_any_name_will_do() {
    let host = Host::builder().plugins(&[]).token(ADMIN).start().await;
    for name in OTHERS {
        let request = head("GET", "/v1/status", &format!("host: {name}\r\nauthorization: Bearer {ADMIN}\r\n"));
        let (status, answer) = raw::exchange(host.client(), &request).await;
        assert_eq!(status, 200, "{name}: {answer}");
    }
}
