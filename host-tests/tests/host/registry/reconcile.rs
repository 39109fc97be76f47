//! What is wanted, what serves, and what is wrong: visible, whatever the change came from.

use std::fs;

use kheish_host_tests::{
    host::{COURIER, FINDER, HTTP, Host, MISBEHAVING, OUTBOX, SLACK, TELEGRAM},
    plugins,
    wait::eventually,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{fields, path, takes};

async fn state(host: &Host, path: &str) -> Value {
    host.get(path).await.expect(200).json["status"].clone()
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_version_that_it_began_with() {
    let host = Host::builder().start().await;
    host.put_http("orders", &fields("token-one")).await.expect(201);
    let body = json!({ "idempotency_key": "k1", "binding_keys": ["room"], "content": "hello" }).to_string();
    let mut stream = TcpStream::connect(host.client().base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /v1/connectors/http/orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer token-one\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The daemon asks for the body once the head has passed: from here on the request is under way.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
    host.put_http("orders", &json!({ "bearer_token": { "value": "token-two" } })).await.expect(200);
    assert_eq!(takes(&host, "orders", "token-one", "k2").await, 401);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_plugin_that_goes_and_comes_is_followed() {
    let mut host = Host::builder().start().await;
    host.put_http("orders", &fields("token-one")).await.expect(201);
    let before = state(&host, &path("orders")).await;
    assert_eq!(before["desired"]["plugin_digest"], before["running"]["plugin_digest"]);
    let bytes = plugins::version(HTTP, 1);
    plugins::install(&bytes, &host.plugin_path("http.wasm"));
    eventually("the connector runs on the new version", async || {
        (state(&host, &path("orders")).await["running"]["plugin_digest"] != before["running"]["plugin_digest"])
            .then_some(())
    })
    .await;
    // A start without the plugin: the connector waits, and says why.
    host.kill();
    fs::remove_file(host.plugin_path("http.wasm")).unwrap();
    host.restart().await;
    let failed = state(&host, &path("orders")).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["last_error"]["errors"][0]["detail"].as_str().unwrap().contains("no plugin"), "{failed}");
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 404);
    plugins::install(&bytes, &host.plugin_path("http.wasm"));
    eventually("it runs again", async || (state(&host, &path("orders")).await["state"] == "running").then_some(()))
        .await;
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
}

#[tokio::test]
async fn what_a_start_cannot_build_waits_with_its_reason_and_hurts_nobody() {
    let mut host = Host::builder().env("ORDERS_TOKEN", "from-the-environment").start().await;
    let mut fields_of_env = fields("unused");
    fields_of_env["bearer_token"] = json!({ "env": "ORDERS_TOKEN" });
    host.put_http("orders", &fields_of_env).await.expect(201);
    host.put_http("returns", &fields("token-two")).await.expect(201);
    host.forget_env("ORDERS_TOKEN");
    host.restart().await;
    let failed = state(&host, &path("orders")).await;
    assert_eq!(
        (&failed["state"], &failed["last_error"]["errors"][0]["pointer"]),
        (&json!("failed"), &json!("/bearer_token"))
    );
    assert_eq!(takes(&host, "returns", "token-two", "k1").await, 200);
    host.put_http("orders", &json!({ "bearer_token": { "value": "token-three" } })).await.expect(200);
    assert_eq!(state(&host, &path("orders")).await["state"], "running");
    assert_eq!(takes(&host, "orders", "token-three", "k1").await, 200);
}

#[tokio::test]
async fn kinds_are_those_of_the_loaded_plugins_and_that_of_sidecars() {
    let host = Host::builder().start().await;
    let kinds = host.get("/v1/runtime/kinds").await.expect(200);
    let [external, http] = kinds.items() else { panic!("{}", kinds.json) };
    assert_eq!((&external["kind"], &external["file"]), (&json!("external"), &json!("native:external")));
    assert_eq!((&http["kind"], &http["file"]), (&json!("http"), &json!("http.wasm")));
    assert!(http["secrets"]["bearer_token"]["description"].is_string(), "{http}");
    assert_eq!(http["settings"]["properties"]["actor_id"]["type"], "string");
    host.get("/v1/runtime/kinds/misbehaving").await.problem(404, "connectors", "kind_not_found");
    plugins::install(&plugins::bytes(MISBEHAVING), &host.plugin_path("late.wasm"));
    eventually("the kind is there", async || {
        (host.get("/v1/runtime/kinds/misbehaving").await.status == 200).then_some(())
    })
    .await;
    let body = json!({ "behaviour": "well", "allow_unauthenticated_ingress": true, "session_policy": { "create_if_missing": true } });
    host.put("/v1/runtime/connectors/misbehaving/late", &body).await.expect(201);
    host.misbehaving("late").say("k1", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn kinds_say_what_their_connectors_can_do() {
    let host = Host::builder().plugins(&[HTTP, COURIER, FINDER, OUTBOX, SLACK, TELEGRAM]).start().await;
    for (kind, does) in [
        ("http", json!([])),
        ("courier", json!(["delivers", "fetches"])),
        ("finder", json!(["delivers", "reconciles"])),
        ("outbox", json!(["delivers"])),
        ("slack", json!(["delivers", "reconciles", "fetches"])),
        ("telegram", json!(["delivers", "polls", "activates", "fetches"])),
    ] {
        assert_eq!(host.get(&format!("/v1/runtime/kinds/{kind}")).await.expect(200).json["does"], does, "{kind}");
    }
}
