//! Credentials that a child may fetch: by it alone, while it lives, and always as they are now.

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    cli::Cli,
    host::{Host, HostBuilder},
    problem::INGRESS,
    sidecar::TOKEN,
    wait::eventually,
};
use serde_json::{Value, json};

const QUICK: &str = "[sidecars]\nhealth_interval_ms = 50\nhealth_retry_ms = 20\n[sidecars.child]\nstart_poll_ms = 20\n\
                     restart_ms = 20\nmax_restart_ms = 60\nstop_grace_ms = 300\ncredential_failures = 5\n";

fn builder() -> HostBuilder {
    Host::builder().plugins(&[]).settings(QUICK)
}

async fn store(host: &Host, name: &str, value: &str) {
    let secret =
        json!({ "slot_id": name, "provider": "generic", "mode": "opaque_secret", "state": { "value": value } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
}

/// A child with one credential, and its token.
async fn begin(host: &Host) -> (Child, String) {
    store(host, "forge-key", "the-first-key").await;
    let child = Child::new();
    child.put(host, "", &json!({ "credential_slots": { "FORGE_KEY": "forge-key" } })).await;
    running(host).await;
    let token = token(&child).await;
    (child, token)
}

async fn token(child: &Child) -> String {
    child.variable("KHEISH_EXTERNAL_CONNECTOR_CREDENTIAL_TOKEN").await
}

fn rows(host: &Host, event: &str) -> Vec<Value> {
    let path = host.state_folder().join("control-plane-auth/audit.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["event"] == event).collect()
}

#[tokio::test]
async fn a_child_fetches_what_it_was_granted_for_as_long_as_it_lives() {
    let host = builder().start().await;
    let (child, token) = begin(&host).await;
    assert_eq!(child.variable("KHEISH_EXTERNAL_CONNECTOR_CREDENTIAL_KEYS_JSON").await, "[\"FORGE_KEY\"]");
    let first = child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
    assert_eq!((first.text("/value"), first.header("cache-control")), ("the-first-key", "no-store"));
    let second = child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
    assert_ne!(first.json["lease_id"], second.json["lease_id"]);
    assert_eq!(first.json["grant_id"], second.json["grant_id"]);
    let now = host.get("/v1/status").await.json["started_at_ms"].as_i64().unwrap_or_default();
    assert!(first.json["expires_at_ms"].as_i64().is_some_and(|at| at >= now + 300_000), "{}", first.json);
    child.fetch(&host, "OTHER_KEY", &token).await.problem(404, INGRESS, "credential_not_found");
    child.fetch(&host, "FORGE_KEY", TOKEN).await.problem(401, INGRESS, "invalid_token");
    host.get("/v1/connectors/external/nobody/credentials/FORGE_KEY").await.problem(404, INGRESS, "connector_not_found");
    let granted = first.text("/grant_id").to_owned();
    eventually("each fetch is a row", async || (rows(&host, "credential_fetched").len() == 2).then_some(())).await;
    assert_eq!(rows(&host, "credential_granted")[0]["about"], json!(["external/bridge", granted]));
    let lease = first.text("/lease_id");
    assert_eq!(rows(&host, "credential_fetched")[0]["about"], json!(["external/bridge", granted, lease, "FORGE_KEY"]));
    let all = std::fs::read_to_string(host.state_folder().join("control-plane-auth/audit.jsonl")).unwrap();
    assert!(!all.contains(&token) && !all.contains("the-first-key") && !host.log().contains(&token));
}

#[tokio::test]
async fn strangers_wait_and_the_child_does_not() {
    let host = builder().start().await;
    let (child, token) = begin(&host).await;
    for _ in 0..5 {
        child.fetch(&host, "FORGE_KEY", "not-the-token").await.problem(401, INGRESS, "invalid_token");
    }
    let refused = child.fetch(&host, "FORGE_KEY", "not-the-token").await;
    refused.problem(429, INGRESS, "rate_limited");
    assert!(!refused.header("retry-after").is_empty());
    child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
}

#[tokio::test]
async fn a_new_value_is_a_new_life_and_a_new_token() {
    let host = builder().start().await;
    let (child, old) = begin(&host).await;
    let pid = running(&host).await;
    store(&host, "forge-key", "the-second-key").await;
    child.fetch(&host, "FORGE_KEY", &old).await.problem(401, INGRESS, "invalid_token");
    process_when(&host, "is another one", |process| process["state"] == "running" && process["pid"] != json!(pid))
        .await;
    let new = token(&child).await;
    assert_eq!(child.fetch(&host, "FORGE_KEY", &new).await.expect(200).text("/value"), "the-second-key");
    child.fetch(&host, "FORGE_KEY", &old).await.problem(401, INGRESS, "invalid_token");
    let used = host.delete("/v1/runtime/secrets/forge-key").await;
    assert_eq!(used.status, 409, "{}", used.json);
    host.delete(PATH).await.expect(200);
    child.fetch(&host, "FORGE_KEY", &new).await.expect(404);
    child.is_gone().await;
    host.delete("/v1/runtime/secrets/forge-key").await.expect(200);
    let reasons: Vec<Value> = rows(&host, "credential_revoked").iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(reasons, ["stopped", "stopped"]);
}

#[tokio::test]
async fn an_operator_withdraws_what_a_child_may_and_the_connector_stays() {
    let host = builder().start().await;
    let (child, old) = begin(&host).await;
    let pid = running(&host).await;
    Cli::of(&host).run(&["connectors", "revoke", "external", "bridge"]).await.expect(0).says(&["external/bridge"]);
    child.fetch(&host, "FORGE_KEY", &old).await.problem(401, INGRESS, "invalid_token");
    let health = process_when(&host, "goes on", |process| process["pid"] == json!(pid)).await;
    assert!(health["process"].get("grant_id").is_none() && health["state"] == "ready", "{health}");
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    process_when(&host, "is another one", |process| process["state"] == "running" && process["pid"] != json!(pid))
        .await;
    child.fetch(&host, "FORGE_KEY", &token(&child).await).await.expect(200);
    assert_eq!(rows(&host, "credential_revoked")[0]["reason"], "operator");
}

#[tokio::test]
async fn a_slot_must_be_there() {
    let host = builder().start().await;
    let child = Child::new();
    let fields = child.fields("", &json!({ "credential_slots": { "FORGE/KEY": "forge-key" } }));
    let refused = host.put(PATH, &fields).await;
    refused.problem(404, "connectors", "secret_not_found");
    assert_eq!(refused.text("/errors/0/pointer"), "/child_process/credential_slots/FORGE~1KEY");
    let reserved = json!({ "credential_slots": { "KHEISH_EXTERNAL_CONNECTOR_NAME": "forge-key" } });
    host.put(PATH, &child.fields("", &reserved)).await.problem(400, "connectors", "invalid_connector");
    store(&host, "forge-key", "the-first-key").await;
    host.put(PATH, &fields).await.expect(201);
    let view = host.get(PATH).await.expect(200).json;
    assert_eq!(view["child_process"]["credential_env_keys"], json!(["FORGE/KEY"]));
    assert!(!view.to_string().contains("forge-key"), "{view}");
}
