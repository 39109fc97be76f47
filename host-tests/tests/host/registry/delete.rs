//! Connectors that go away.

use kheish_host_tests::{connectors::Http, host::Host};
use serde_json::json;

use super::{fields, path, takes};

#[tokio::test]
async fn a_deleted_connector_is_gone_and_its_name_is_free() {
    let mut host = Host::builder().start().await;
    host.put_http("orders", &fields("token-one")).await.expect(201);
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
    let gone = host.delete(&path("orders")).await.expect(200).json;
    assert_eq!(gone, json!({ "accepted": true, "sessions": [] }));
    assert_eq!(takes(&host, "orders", "token-one", "k2").await, 404);
    host.delete(&path("orders")).await.problem(404, "connectors", "connector_not_found");
    host.restart().await;
    assert_eq!(host.get("/v1/runtime/connectors").await.items().len(), 0);
    host.put_http("orders", &fields("token-two")).await.expect(201);
    // What was accepted once is not accepted again.
    let again = host.sender("orders").bearer("token-two").say("k1", "room", "hello").await.expect(200);
    assert_eq!(again.header("kheish-receipt"), "duplicate");
}

#[tokio::test]
async fn a_connector_of_the_file_is_read_and_not_changed() {
    let host = Host::builder().connectors(Http::named("orders").bearer("token-one")).start().await;
    let view = host.get(&path("orders")).await.expect(200).json;
    assert_eq!(view["source"], "file");
    assert_eq!(view["bearer_token"], json!({ "configured": true, "source": "inline" }));
    for answer in [host.put_http("orders", &json!({})).await, host.delete(&path("orders")).await] {
        answer.problem(409, "connectors", "connector_file_backed");
    }
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
}
