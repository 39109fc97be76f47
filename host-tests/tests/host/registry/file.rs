//! The connectors file followed while the daemon runs.

use std::fs;

use kheish_host_tests::{connectors::Http, host::Host, wait::eventually};
use serde_json::json;

use super::{fields, path, takes};

fn table(name: &str, token: &str) -> String {
    Http::named(name).bearer(token).to_string()
}

#[tokio::test]
async fn a_change_of_the_file_takes_effect_without_a_restart() {
    let host = Host::builder().connectors(table("orders", "token-one")).start().await;
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
    fs::write(host.connectors_path(), table("orders", "token-two") + &table("returns", "token-three")).unwrap();
    eventually("the new connector is there", async || {
        (takes(&host, "returns", "token-three", "k1").await == 200).then_some(())
    })
    .await;
    assert_eq!(takes(&host, "orders", "token-two", "k2").await, 200);
    assert_eq!(takes(&host, "orders", "token-one", "k3").await, 401);
    fs::write(host.connectors_path(), table("returns", "token-three")).unwrap();
    eventually("the former one is gone", async || {
        (takes(&host, "orders", "token-two", "k4").await == 404).then_some(())
    })
    .await;
    assert_eq!(host.get(&path("returns")).await.json["revision"], 1, "what did not change was not touched");
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told() {
    let host = Host::builder().connectors(table("orders", "token-one")).start().await;
    for (broken, says) in [
        ("[[http_connectors]]\nname = ", "connectors.toml:2"),
        ("[[http_connectors]]\nname = \"new\"\nbearer_token = \"t\"\nactor = \"x\"\n", "connectors.toml:4"),
        ("[[pigeon_connectors]]\nname = \"coop\"\n", "connectors.toml:1"),
    ] {
        fs::write(host.connectors_path(), broken).unwrap();
        eventually(&format!("the status says {says}"), async || {
            let file = host.get("/v1/status").await.json["connectors_file"].clone();
            file["errors"].to_string().contains(says).then_some(())
        })
        .await;
        assert_eq!(host.get("/v1/runtime/connectors").await.items().len(), 1);
    }
    host.logs("what was read before serves").await;
    assert_eq!(takes(&host, "orders", "token-one", "k1").await, 200);
    fs::write(host.connectors_path(), table("orders", "token-one")).unwrap();
    eventually("the status is well again", async || {
        host.get("/v1/status").await.json["connectors_file"].get("errors").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_name_belongs_to_one_source() {
    let mut host = Host::builder().connectors(table("orders", "token-one")).start().await;
    host.put_http("returns", &fields("token-two")).await.expect(201);
    fs::write(host.connectors_path(), table("orders", "token-one") + &table("returns", "token-three")).unwrap();
    eventually("the status says whose it is", async || {
        let errors = host.get("/v1/status").await.json["connectors_file"]["errors"].to_string();
        errors.contains("http/returns").then_some(())
    })
    .await;
    assert_eq!(takes(&host, "returns", "token-two", "k1").await, 200);
    // Nor does the daemon start like that.
    host.kill();
    let ended = host.twin().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("connectors.toml") && ended.stderr.contains("http/returns"), "{}", ended.stderr);
    fs::write(host.connectors_path(), table("orders", "token-one")).unwrap();
    host.restart().await;
    let sources: Vec<_> =
        host.get("/v1/runtime/connectors").await.items().iter().map(|one| one["source"].clone()).collect();
    assert_eq!(sources, [json!("file"), json!("daemon")]);
}
