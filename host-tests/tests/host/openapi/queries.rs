//! Queries: a name that a route does not know is refused, not passed over.

use super::host;

#[tokio::test]
async fn an_unknown_parameter_is_refused_with_the_nearest_known_one() {
    let host = host().await;
    for (query, hint) in [
        ("/v1/runs?limt=1", "unknown query parameter `limt` (did you mean `limit`?)"),
        ("/v1/runs?session_id=s&Status=queued", "unknown query parameter `Status` (did you mean `status`?)"),
        ("/v1/deliveries?runid=r", "unknown query parameter `runid` (did you mean `run_id`?)"),
        ("/v1/sessions?order=asc", "unknown query parameter `order`; there are limit, page, cursor"),
        ("/v1/sessions/s?page=true", "unknown query parameter `page`; this route takes none"),
        ("/v1/status?x", "unknown query parameter `x`; this route takes none"),
        ("/v1/openapi.json?x=", "unknown query parameter `x`; this route takes none"),
    ] {
        assert_eq!(host.get(query).await.problem(400, "api", "invalid_query"), hint, "{query}");
    }
    let posted = host.post("/v1/sessions?session_id=t", &serde_json::json!({})).await;
    posted.problem(400, "api", "invalid_query");
    assert_eq!(host.ledger().await["sessions"]["total"], 1);
}

#[tokio::test]
async fn a_parameter_is_given_once_and_is_text() {
    let host = host().await;
    host.get("/v1/runs?limit=1&limit=2").await.problem(400, "api", "invalid_query");
    host.get("/v1/runs?page=maybe").await.problem(400, "api", "invalid_query");
    host.get("/v1/runs?limit=1&page=true").await.expect(200);
    let long = host.get(&format!("/v1/runs?{}=1", "n".repeat(4_000))).await;
    long.problem(400, "api", "invalid_query");
    assert!(long.body.len() < 1_024, "{} bytes", long.body.len());
}

#[tokio::test]
async fn who_may_not_ask_learns_nothing_of_queries() {
    let host = kheish_host_tests::host::Host::builder().plugins(&[]).token("secret").start().await;
    let stranger = kheish_host_tests::client::Client::new(host.client().base());
    stranger.get("/v1/runs?limt=1").await.problem(401, "auth", "missing_token");
    host.get("/v1/runs?limt=1").await.problem(400, "api", "invalid_query");
}
