//! How often an address is refused in full.

use kheish_host_tests::{client, host::Host, wait::eventually};
use reqwest::Method;

use super::{ADMIN, anybody};

#[tokio::test]
async fn too_many_refusals_are_429_and_a_good_token_passes_still() {
    let host = Host::builder().plugins(&[]).token(ADMIN).settings("[auth]\nfailure_limit = 3\n").start().await;
    let wrong = anybody(&host).with_token("wrong");
    for _ in 0..3 {
        wrong.get("/v1/status").await.problem(401, "auth", "invalid_token");
    }
    for _ in 0..3 {
        let answer = wrong.get("/v1/status").await;
        answer.problem(429, "auth", "rate_limited");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        host.get("/v1/status").await.expect(200);
    }
    // Another reason has a bucket of its own, and pages of other origins too.
    anybody(&host).get("/v1/status").await.problem(401, "auth", "missing_token");
    for round in 0..4 {
        let request = host.client().request(Method::GET, "/v1/status").header("origin", "http://evil.example");
        let (status, code) = if round < 3 { (403, "origin_not_allowed") } else { (429, "rate_limited") };
        client::answer(request).await.problem(status, "cors", code);
    }
    host.logs("auth.failure_limit").await;
}

#[tokio::test]
async fn sixty_a_minute_unless_set_otherwise() {
    let host = Host::builder().plugins(&[]).token(ADMIN).start().await;
    let mut refused = 0;
    while anybody(&host).get("/v1/status").await.status == 401 {
        refused += 1;
    }
    assert_eq!(refused, 60);
}

#[tokio::test]
async fn a_window_ends() {
    let settings = "[auth]\nfailure_limit = 2\nfailure_window_ms = 400\n";
    let host = Host::builder().plugins(&[]).token(ADMIN).settings(settings).start().await;
    for status in [429, 401, 429, 401] {
        let found = async || (anybody(&host).get("/v1/status").await.status == status).then_some(());
        eventually(&format!("the answer is {status}"), found).await;
    }
}
