//! Connectors of the kind: what operators may write, change and see.

use kheish_host_tests::{
    host::Host,
    sidecar::{Sidecar, TOKEN, health_when},
};
use serde_json::{Value, json};

use super::builder;

const PATH: &str = "/v1/runtime/connectors/external/bridge";

fn fields(base_url: &str) -> Value {
    json!({ "platform": "forge", "base_url": base_url, "shared_token": { "value": TOKEN } })
}

fn with(mut fields: Value, members: Value) -> Value {
    for (name, value) in members.as_object().cloned().unwrap_or_default() {
        fields[name] = value;
    }
    fields
}

async fn empty() -> Host {
    Host::builder().plugins(&[]).start().await
}

#[tokio::test]
async fn addresses_of_one_s_own_network_want_a_grant() {
    let host = empty().await;
    for private in [
        "http://127.0.0.1:9",
        "http://localhost.:9",
        "http://a.localhost",
        "http://[::ffff:10.0.0.1]",
        "http://10.0.0.1",
    ] {
        let refused = host.put(PATH, &fields(private)).await;
        refused.problem(400, "connectors", "invalid_connector");
        assert_eq!(refused.text("/errors/0/pointer"), "/base_url", "{private}: {}", refused.json);
        let granted = with(fields(private), json!({ "allow_private_network": true }));
        host.put(&format!("{PATH}?dry_run=true"), &granted).await.expect(200);
    }
    host.put(&format!("{PATH}?dry_run=true"), &fields("https://bridge.example/base")).await.expect(200);
    for never in
        ["http://169.254.169.254", "https://user@bridge.example", "ftp://bridge.example", "https://bridge.example?a"]
    {
        let fields = with(fields(never), json!({ "allow_private_network": true }));
        host.put(PATH, &fields).await.problem(400, "connectors", "invalid_connector");
    }
}

#[tokio::test]
async fn a_connector_is_checked_as_a_whole() {
    let host = empty().await;
    let good = fields("https://bridge.example");
    for (change, pointer) in [
        (json!({ "platform": null }), ""),
        (json!({ "platform": "" }), "/platform"),
        (json!({ "mode": "other" }), "/mode"),
        (json!({ "child_process": { "command": "x" } }), "/child_process"),
        (json!({ "mode": "child_process" }), "/child_process"),
        (json!({ "shared_token": {} }), ""),
        (json!({ "surprise": 1 }), "/surprise"),
        (json!({ "shared_token": { "value": " " } }), "/shared_token"),
    ] {
        let refused = host.put(PATH, &with(good.clone(), change.clone())).await;
        refused.problem(400, "connectors", "invalid_connector");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{change}: {}", refused.json);
    }
    host.put("/v1/runtime/connectors/external/metrics", &good).await.problem(405, "api", "method_not_allowed");
    let sidecar = Sidecar::start().await;
    let ended = builder(&sidecar, "").connectors(sidecar.connector("metrics", "")).run_to_end().await;
    assert!(ended.stderr.contains("give another name"), "{}", ended.stderr);
    let open = json!({ "shared_token": {}, "allow_unauthenticated_ingress": true });
    host.put(PATH, &with(good, open)).await.expect(201);
}

#[tokio::test]
async fn a_platform_stays_as_it_is() {
    let sidecar = Sidecar::start().await;
    let host = empty().await;
    let first = with(fields(&sidecar.base_url()), json!({ "allow_private_network": true }));
    host.put(PATH, &first).await.expect(201);
    host.put(PATH, &json!({ "platform": "other" })).await.problem(409, "connectors", "setting_fixed");
    host.put(PATH, &json!({ "platform": "forge", "bind_path_prefixes": true })).await.expect(200);
    let view = host.get(PATH).await.expect(200).json;
    assert_eq!((&view["platform"], &view["bind_path_prefixes"]), (&json!("forge"), &json!(true)));
    assert_eq!(view["shared_token"]["configured"], true);
    assert!(!view.to_string().contains(TOKEN), "{view}");
    health_when(&host, "bridge", "ready").await;
    host.delete(PATH).await.expect(200);
    let metrics = host.get("/v1/runtime/connectors/external/metrics").await.expect(200);
    assert!(!String::from_utf8_lossy(&metrics.body).contains("bridge\"") || metrics.body.is_empty());
    host.put(PATH, &with(first, json!({ "platform": "other" }))).await.expect(201);
}

#[tokio::test]
async fn the_kind_says_what_it_takes() {
    let sidecar = Sidecar::start().await;
    let host = builder(&sidecar, "").start().await;
    let kind = host.get("/v1/runtime/kinds/external").await.expect(200).json;
    assert_eq!((&kind["file"], &kind["digest"]), (&json!("native:external"), &json!("native")));
    assert!(
        kind["settings"]["properties"]["base_url"].is_object() && kind["secrets"]["shared_token"].is_object(),
        "{kind}"
    );
}
