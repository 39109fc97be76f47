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

const SUBJECT: &str = "/v1/runtime/auth/subjects/connector:bridge";
const LEASES: &str = "/v1/runtime/auth/leases";

fn builder(more: &str) -> HostBuilder {
    Host::builder().plugins(&[]).settings(&format!("{QUICK}{more}"))
}

/// Has the child started anew that has this number.
async fn restart(host: &Host, pid: u64) {
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    process_when(host, "is another one", |process| process["state"] == "running" && process["pid"] != json!(pid)).await;
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
    let host = builder("").start().await;
    let (child, token) = begin(&host).await;
    assert_eq!(child.variable("KHEISH_EXTERNAL_CONNECTOR_CREDENTIAL_KEYS_JSON").await, "[\"FORGE_KEY\"]");
    let first = child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
    assert_eq!((first.text("/value"), first.header("cache-control")), ("the-first-key", "no-store"));
    let second = child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
    for id in ["lease_id", "grant_id"] {
        assert_eq!(first.json[id], second.json[id], "a fetch before the end renews the lease");
    }
    assert!(second.json["expires_at_ms"].as_i64() >= first.json["expires_at_ms"].as_i64());
    let now = host.get("/v1/status").await.json["started_at_ms"].as_i64().unwrap_or_default();
    assert!(first.json["expires_at_ms"].as_i64().is_some_and(|at| at >= now + 300_000), "{}", first.json);
    child.fetch(&host, "OTHER_KEY", &token).await.problem(404, INGRESS, "credential_not_found");
    child.fetch(&host, "FORGE_KEY", TOKEN).await.problem(401, INGRESS, "invalid_token");
    host.get("/v1/connectors/external/nobody/credentials/FORGE_KEY").await.problem(404, INGRESS, "connector_not_found");
    let granted = first.text("/grant_id").to_owned();
    eventually("each fetch is a row", async || (!rows(&host, "credential_renewed").is_empty()).then_some(())).await;
    assert_eq!(rows(&host, "credential_granted")[0]["about"], json!(["external/bridge", granted]));
    let lease = first.text("/lease_id");
    for event in ["credential_fetched", "credential_renewed"] {
        let about: Vec<Value> = rows(&host, event).iter().map(|row| row["about"].clone()).collect();
        assert_eq!(about, [json!(["external/bridge", granted, lease, "FORGE_KEY"])], "{event}");
    }
    let all = std::fs::read_to_string(host.state_folder().join("control-plane-auth/audit.jsonl")).unwrap();
    assert!(!all.contains(&token) && !all.contains("the-first-key") && !host.log().contains(&token));
}

#[tokio::test]
async fn strangers_wait_and_the_child_does_not() {
    let host = builder("").start().await;
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
    let host = builder("").start().await;
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
    assert_eq!(reasons, ["rotated", "stopped"]);
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_the_child_asks_again() {
    let host = builder("lease_ms = 300\n").start().await;
    let (child, token) = begin(&host).await;
    let first = child.fetch(&host, "FORGE_KEY", &token).await.expect(200).text("/lease_id").to_owned();
    let path = format!("{LEASES}/{first}");
    assert_eq!(host.get(&path).await.expect(200).text("/state"), "active");
    eventually("it ends", async || (host.get(&path).await.json["state"] == "expired").then_some(())).await;
    let second = child.fetch(&host, "FORGE_KEY", &token).await.expect(200).text("/lease_id").to_owned();
    assert_ne!(first, second);
    assert_eq!(host.get(&path).await.expect(200).text("/state"), "expired");
}

#[tokio::test]
async fn operators_see_who_has_what_and_never_a_value() {
    let host = builder("").start().await;
    let (child, token) = begin(&host).await;
    let subject = host.get(SUBJECT).await.expect(200);
    assert_eq!((subject.text("/subject_id"), &subject.json["leases"]), ("connector:bridge", &json!([])));
    let fetched = child.fetch(&host, "FORGE_KEY", &token).await.expect(200);
    let subject = host.get(SUBJECT).await.expect(200).json;
    let lease = host.get(&format!("{LEASES}/{}", fetched.text("/lease_id"))).await.expect(200).json;
    assert_eq!((&subject["grant_id"], &subject["leases"]), (&fetched.json["grant_id"], &json!([lease])), "{subject}");
    for (field, value) in [
        ("subject_id", json!("connector:bridge")),
        ("grant_id", fetched.json["grant_id"].clone()),
        ("expires_at_ms", fetched.json["expires_at_ms"].clone()),
        ("env_key", json!("FORGE_KEY")),
        ("slot_id", json!("forge-key")),
        ("state", json!("active")),
    ] {
        assert_eq!(lease[field], value, "{field}");
    }
    assert!(!format!("{subject}{lease}").contains("the-first-key") && !subject.to_string().contains(&token));
    let ran = Cli::of(&host).run(&["runtime", "auth", "subject", "connector:bridge"]).await.expect(0);
    ran.says(&["external/bridge fetches under grant_", "FORGE_KEY", "forge-key", "active"]);
    let ran = Cli::of(&host).run(&["runtime", "auth", "lease", fetched.text("/lease_id")]).await.expect(0);
    ran.says(&["FORGE_KEY", "forge-key"]);
    for (path, code) in [
        ("subjects/connector:nobody", "subject_not_found"),
        ("subjects/bridge", "subject_not_found"),
        ("leases/lease_of_nobody", "lease_not_found"),
    ] {
        host.get(&format!("/v1/runtime/auth/{path}")).await.problem(404, "credentials", code);
        host.post(&format!("/v1/runtime/auth/{path}/revoke"), &json!({})).await.problem(404, "credentials", code);
    }
    let nowhere = host.post("/v1/runtime/auth/slots/none/revoke", &json!({})).await;
    nowhere.problem(404, "credentials", "secret_not_found");
}

#[tokio::test]
async fn an_operator_ends_one_lease_or_all_of_a_secret_and_nothing_else() {
    let host = builder("").start().await;
    store(&host, "forge-key", "the-first-key").await;
    store(&host, "team/mail", "the-other-key").await;
    let slots = json!({ "A": "forge-key", "B": "forge-key", "C": "team/mail" });
    let child = Child::new();
    child.put(&host, "", &json!({ "credential_slots": slots })).await;
    let pid = running(&host).await;
    let old = token(&child).await;
    let fetch = async |key: &str| child.fetch(&host, key, &old).await;
    let [a, b] = [fetch("A").await.expect(200), fetch("B").await.expect(200)];
    fetch("C").await.expect(200);
    let revoke = ["runtime", "auth", "revoke-lease", a.text("/lease_id")];
    Cli::of(&host).run(&revoke).await.expect(0).says(&["is revoked"]);
    fetch("A").await.problem(403, INGRESS, "credential_revoked");
    assert_eq!(fetch("B").await.expect(200).json["lease_id"], b.json["lease_id"]);
    let lease = host.get(&format!("{LEASES}/{}", a.text("/lease_id"))).await.expect(200);
    assert_eq!((lease.text("/state"), lease.text("/reason")), ("revoked", "operator"));
    // Said twice, it is no other lease's end.
    Cli::of(&host).run(&revoke).await.expect(0).says(&["is revoked"]);
    Cli::of(&host)
        .run(&["runtime", "auth", "revoke-slot", "forge-key"])
        .await
        .expect(0)
        .says(&["1 leases of forge-key"]);
    fetch("B").await.problem(403, INGRESS, "credential_revoked");
    fetch("C").await.expect(200);
    let slot = host.post("/v1/runtime/auth/slots/team%2Fmail/revoke", &json!({})).await.expect(200);
    assert_eq!(slot.json, json!({ "slot_id": "team/mail", "revoked_leases": 1 }));
    fetch("C").await.problem(403, INGRESS, "credential_revoked");
    assert_eq!(rows(&host, "credential_revoked").len(), 3);
    assert_eq!(running(&host).await, pid, "the program goes on");
    host.get("/v1/runtime/secrets/forge-key").await.expect(200);
    restart(&host, pid).await;
    let new = token(&child).await;
    for key in ["A", "B", "C"] {
        child.fetch(&host, key, &new).await.expect(200);
    }
}

#[tokio::test]
async fn an_operator_withdraws_what_a_child_may_and_the_connector_stays() {
    let host = builder("").start().await;
    let (child, old) = begin(&host).await;
    let pid = running(&host).await;
    let lease = child.fetch(&host, "FORGE_KEY", &old).await.expect(200).text("/lease_id").to_owned();
    let ran = Cli::of(&host).run(&["runtime", "auth", "revoke-subject", "connector:bridge"]).await.expect(0);
    ran.says(&["connector:bridge fetches no credentials any more"]);
    child.fetch(&host, "FORGE_KEY", &old).await.problem(401, INGRESS, "invalid_token");
    let health = process_when(&host, "goes on", |process| process["pid"] == json!(pid)).await;
    assert!(health["process"].get("grant_id").is_none() && health["state"] == "ready", "{health}");
    let subject = host.get(SUBJECT).await.expect(200).json;
    assert!(subject.get("grant_id").is_none() && subject["leases"][0]["lease_id"] == json!(lease), "{subject}");
    assert_eq!(subject["leases"][0]["state"], "revoked");
    restart(&host, pid).await;
    child.fetch(&host, "FORGE_KEY", &token(&child).await).await.expect(200);
    assert_eq!(rows(&host, "credential_revoked")[0]["reason"], "operator");
}

#[tokio::test]
async fn a_slot_must_be_there() {
    let host = builder("").start().await;
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
