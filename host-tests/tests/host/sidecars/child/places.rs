//! Where children answer: each at a place of its own, on this machine.

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    host::Host,
    wait::eventually,
};
use serde_json::{Value, json};

use super::builder;

const SECOND: &str = "/v1/runtime/connectors/external/second";

/// The fields of a connector whose child answers there.
fn at(base: &str) -> Value {
    let mut fields = Child::new().fields("", &json!({}));
    fields["base_url"] = json!(base);
    fields
}

async fn is_refused(host: &Host, path: &str, base: &str, owner: &str) {
    let refused = host.put(path, &at(base)).await;
    refused.problem(400, "connectors", "invalid_connector");
    assert_eq!(refused.text("/errors/0/pointer"), "/base_url", "{}", refused.json);
    assert!(refused.text("/errors/0/detail").contains(owner), "{}", refused.json);
}

#[tokio::test]
async fn no_two_children_have_one_port() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    let port = child.address().port();
    for host_name in ["127.0.0.1", "localhost", "bridge.localhost", "[::1]"] {
        is_refused(&host, SECOND, &format!("http://{host_name}:{port}"), "external/bridge").await;
    }
    // The same again is no second one, and it may go elsewhere and come back.
    host.put(PATH, &json!({ "base_url": child.base_url() })).await.expect(200);
    let other = Child::new();
    host.put(SECOND, &other.fields("", &json!({}))).await.expect(201);
    is_refused(&host, PATH, &other.base_url(), "external/second").await;
    host.delete(SECOND).await.expect(200);
    host.put(PATH, &json!({ "base_url": other.base_url() })).await.expect(200);
    let remote = json!({ "platform": "p", "base_url": other.base_url(), "allow_private_network": true,
        "allow_unauthenticated_ingress": true });
    host.put(SECOND, &remote).await.expect(201);
}

/// A table of the connectors file.
fn table(name: &str, base: &str) -> String {
    format!(
        "[[external_connectors]]\nname = \"{name}\"\nplatform = \"p\"\nmode = \"child_process\"\nbase_url = \"{base}\"\n\
         allow_unauthenticated_ingress = true\nchild_process = {{ command = \"sleep\", args = [\"600\"] }}\n"
    )
}

#[tokio::test]
async fn neither_have_one_of_the_file_and_one_of_the_api() {
    let (first, second) = (Child::new(), Child::new());
    let mut host = builder("").connectors(table("bridge", &first.base_url())).start().await;
    is_refused(&host, SECOND, &first.base_url(), "external/bridge").await;
    host.put(SECOND, &second.fields("", &json!({}))).await.expect(201);
    // A new version of the file is not taken up while it wants what the other one has, and a connector may hand on what it had.
    host.reconfigure(table("bridge", &second.base_url()));
    eventually("the file is refused", async || {
        let status = host.get("/v1/status").await.json;
        let errors = status["connectors_file"]["errors"].to_string();
        errors.contains("external/second").then_some(())
    })
    .await;
    host.reconfigure(table("renamed", &first.base_url()));
    let renamed = async || host.get("/v1/runtime/connectors/external/renamed").await;
    eventually("the file is taken up", async || (renamed().await.status == 200).then_some(())).await;
    // At the start what the file says comes first.
    host.reconfigure(table("renamed", &second.base_url()));
    host.restart().await;
    let view = host.get(SECOND).await.expect(200).json;
    assert!(view["status"].to_string().contains("external/renamed"), "{view}");
}

#[tokio::test]
async fn a_child_does_not_get_ready_by_another_one_s_words() {
    // Long enough to be answered for while it starts: before its start whatever answers there keeps it from being started.
    let (host, child) = (builder("start_timeout_ms = 4000\n").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let pid = running(&host).await;
    let beside = format!("127.0.0.2:{}", child.address().port());
    let mut fields = at(&format!("http://{beside}"));
    fields["child_process"] = json!({ "command": "sleep", "args": ["600"] });
    host.put(SECOND, &fields).await.expect(201);
    let second = async || host.get(SECOND).await.expect(200).json["status"]["health"].clone();
    eventually("the second one was started", async || second().await["process"]["pid"].as_u64()).await;
    child.told(&format!("also/{beside}")).await;
    // Its next starts fail for another reason: something answers there already.
    host.logs("so is the sidecar of external/bridge").await;
    assert_eq!(running(&host).await, pid);
}

#[tokio::test]
async fn a_name_of_this_machine_is_asked_of_nobody() {
    let (host, child) = (builder("").start().await, Child::new());
    let mut fields = child.fields("", &json!({}));
    fields["base_url"] = json!(format!("http://bridge.localhost:{}", child.address().port()));
    host.put(PATH, &fields).await.expect(201);
    process_when(&host, "runs", |process| process["state"] == "running").await;
}
