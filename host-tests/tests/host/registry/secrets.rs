//! Secrets of connectors: each way to give one, and what shows of it.

use kheish_host_tests::host::Host;
use serde_json::{Value, json};

use super::{fields, path, pointers, takes};

async fn store(host: &Host, name: &str, value: &str) {
    host.post("/v1/runtime/secrets", &secret(name, value)).await.expect(200);
}

fn secret(name: &str, value: &str) -> Value {
    json!({ "slot_id": name, "provider": "generic", "mode": "opaque_secret", "state": { "value": value } })
}

#[tokio::test]
async fn values_go_in_and_never_come_out() {
    let host = Host::builder().start().await;
    let made = host.put_http("orders", &fields("token-one")).await.expect(201);
    let slot = "connectors.http.orders.bearer_token";
    assert_eq!(made.json["bearer_token"], json!({ "configured": true, "source": "secret_ref", "secret_ref": slot }));
    assert_eq!(made.json["hmac_secret"], json!({ "configured": false }));
    let list = host.get("/v1/runtime/secrets").await.expect(200);
    let [one] = list.items() else { panic!("{}", list.json) };
    assert_eq!(
        (&one["slot_id"], &one["provider"], &one["mode"]),
        (&json!(slot), &json!("generic"), &json!("opaque_secret"))
    );
    assert_eq!((&one["version"], &one["used_by"]), (&json!(1), &json!(["http/orders"])));
    for answer in [made, list, host.get(&path("orders")).await, host.get("/v1/status").await] {
        assert!(!String::from_utf8_lossy(&answer.body).contains("token-one"), "{}", answer.json);
    }
}

#[tokio::test]
async fn each_source_serves_and_two_are_one_too_many() {
    let host = Host::builder().env("ORDERS_TOKEN", "from-the-environment").start().await;
    host.put_http("orders", &fields("token-one")).await.expect(201);
    let token = async |token: Value| host.put_http("orders", &json!({ "bearer_token": token })).await;
    let view = token(json!({ "env": "ORDERS_TOKEN" })).await.expect(200).json;
    assert_eq!(view["bearer_token"], json!({ "configured": true, "source": "env", "env": "ORDERS_TOKEN" }));
    assert_eq!(takes(&host, "orders", "from-the-environment", "k1").await, 200);
    assert_eq!(takes(&host, "orders", "token-one", "k2").await, 401);
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), 0, "what it no longer names is gone");
    store(&host, "shared", "from-the-store").await;
    token(json!({ "secret_ref": "shared" })).await.expect(200);
    assert_eq!(takes(&host, "orders", "from-the-store", "k3").await, 200);
    token(json!({ "value": "named-value", "secret_ref": "named" })).await.expect(200);
    assert_eq!(takes(&host, "orders", "named-value", "k4").await, 200);
    for (wrong, pointer) in [
        (json!({ "value": "v", "env": "ORDERS_TOKEN" }), "/bearer_token"),
        (json!({ "env": "ORDERS_TOKEN", "secret_ref": "shared" }), "/bearer_token"),
        (json!({ "env": "NO_SUCH_VARIABLE_HERE" }), "/bearer_token"),
        (json!({ "value": "  " }), ""),
        (json!("token"), "/bearer_token"),
        (json!({ "vaule": "v" }), "/bearer_token/vaule"),
    ] {
        let refused = token(wrong.clone()).await;
        refused.problem_of(400, "connectors");
        assert!(pointer.is_empty() || pointers(&refused.json) == [pointer], "{wrong}: {}", refused.json);
    }
    let missing = token(json!({ "secret_ref": "nobody" })).await;
    missing.problem(404, "connectors", "secret_not_found");
    assert_eq!(takes(&host, "orders", "named-value", "k5").await, 200);
    let cleared = token(json!({})).await;
    assert!(cleared.problem(400, "connectors", "invalid_connector").contains("nothing authenticates"));
}

#[tokio::test]
async fn a_new_value_reaches_its_connectors_before_its_sender_hears_of_it() {
    let host = Host::builder().start().await;
    store(&host, "shared", "value-zero").await;
    for name in ["one", "two"] {
        let mut fields = fields("unused");
        fields["bearer_token"] = json!({ "secret_ref": "shared" });
        host.put_http(name, &fields).await.expect(201);
    }
    for round in 1..=20 {
        let value = format!("value-{round}");
        store(&host, "shared", &value).await;
        for name in ["one", "two"] {
            assert_eq!(takes(&host, name, &value, &format!("k{round}")).await, 200);
            assert_eq!(takes(&host, name, &format!("value-{}", round - 1), "old").await, 401);
        }
    }
    let view = host.get("/v1/runtime/secrets/shared").await.expect(200).json;
    assert_eq!((&view["version"], &view["used_by"]), (&json!(21), &json!(["http/one", "http/two"])));
}

#[tokio::test]
async fn what_connectors_rest_on_stays() {
    let host = Host::builder().start().await;
    store(&host, "team/shared token", "from-the-store").await;
    let mut fields = fields("unused");
    fields["bearer_token"] = json!({ "secret_ref": "team/shared token" });
    host.put_http("orders", &fields).await.expect(201);
    let path = "/v1/runtime/secrets/team%2Fshared%20token";
    let used = host.delete(path).await;
    assert!(used.problem(409, "secrets", "secret_in_use").contains("http/orders"));
    host.put_http("orders", &json!({ "bearer_token": { "value": "own-token" } })).await.expect(200);
    assert_eq!(host.delete(path).await.expect(200).json, json!({ "accepted": true }));
    host.get(path).await.problem(404, "secrets", "secret_not_found");
    host.delete(path).await.problem(404, "secrets", "secret_not_found");
    host.delete(&super::path("orders")).await.expect(200);
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), 0, "its own secret goes with it");
}

#[tokio::test]
async fn bad_secrets_are_refused() {
    let host = Host::builder().start().await;
    for (body, code) in [
        (secret("", "value"), "invalid_secret"),
        (secret("name\n", "value"), "invalid_secret"),
        (secret(&"x".repeat(257), "value"), "invalid_secret"),
        (secret("name", " "), "invalid_secret"),
        (secret("name", &"x".repeat(64 * 1024 + 1)), "invalid_secret"),
    ] {
        host.post("/v1/runtime/secrets", &body).await.problem(400, "secrets", code);
    }
    let mut oauth = secret("name", "value");
    oauth["provider"] = json!("mcp_oauth");
    host.post("/v1/runtime/secrets", &oauth).await.problem_of(400, "api");
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), 0);
}

#[tokio::test]
async fn a_file_may_name_secrets_of_the_store() {
    let mut host = Host::builder().connectors("").start().await;
    store(&host, "shared", "from-the-store").await;
    let table = "[[http_connectors]]\nname = \"orders\"\nbearer_token_secret_ref = \"shared\"\nsession_policy = { create_if_missing = true }\n";
    std::fs::write(host.connectors_path(), table).unwrap();
    host.restart().await;
    assert_eq!(takes(&host, "orders", "from-the-store", "k1").await, 200);
    let view = host.get(&path("orders")).await.json;
    assert_eq!(view["bearer_token"], json!({ "configured": true, "source": "secret_ref", "secret_ref": "shared" }));
    store(&host, "shared", "another-value").await;
    assert_eq!(takes(&host, "orders", "another-value", "k2").await, 200);
    host.delete("/v1/runtime/secrets/shared").await.problem(409, "secrets", "secret_in_use");
}

#[tokio::test]
async fn the_list_of_secrets_names_each_user_once() {
    let host = Host::builder().start().await;
    store(&host, "idle", "nobody-wants-it").await;
    store(&host, "shared", "from-the-store").await;
    let shared = json!({ "secret_ref": "shared" });
    for body in [json!({ "bearer_token": shared, "hmac_secret": shared }), json!({ "bearer_token": shared })] {
        let name = if body.get("hmac_secret").is_some() { "both" } else { "one" };
        host.put_http(name, &body).await.expect(201);
    }
    let list = host.get("/v1/runtime/secrets").await.expect(200);
    let users = |secret: &Value| (secret["slot_id"].clone(), secret["used_by"].clone());
    let expected = [("idle", json!([])), ("shared", json!(["http/both", "http/one"]))];
    let found: Vec<_> = list.items().iter().map(users).collect();
    assert_eq!(found, expected.map(|(name, users)| (json!(name), users)));
}
