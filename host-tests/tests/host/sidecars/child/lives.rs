//! A program that begins another life within itself.

use futures_util::future::join_all;
use kheish_host_tests::{
    child::{Child, running},
    host::Host,
    sidecar::{event_with, send},
};
use serde_json::{Value, json};

use super::QUICK;

/// A child at which nobody looks again by itself.
async fn begin() -> (Host, Child) {
    let settings = QUICK.replace("health_interval_ms = 50", "health_interval_ms = 600000");
    let host = Host::builder().plugins(&[]).executor("echo").settings(&settings).start().await;
    let child = Child::new();
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    (host, child)
}

async fn sent(host: &Host, instance: &str, id: &str) -> Value {
    send(host, "bridge", &event_with(id, &json!({ "instance_id": instance }))).await.expect(200).json
}

#[tokio::test]
async fn events_of_a_new_life_are_taken_at_once() {
    let (host, child) = begin().await;
    child.told("anew/second").await;
    assert_eq!(sent(&host, "second", "e-1").await["status"], "accepted");
    let former = sent(&host, "first", "e-2").await;
    assert_eq!(former["status"], "rejected");
    assert!(former["reason"].as_str().is_some_and(|reason| reason.contains("`second`")), "{former}");
    child.told("anew/third").await;
    assert_eq!(sent(&host, "third", "e-3").await["status"], "accepted");
}

#[tokio::test]
async fn many_strange_events_ask_once() {
    let (host, child) = begin().await;
    let before = child.told("asked/").await.as_u64().unwrap();
    let ids: Vec<String> = (0..50).map(|number| format!("e-{number}")).collect();
    for event in join_all(ids.iter().map(|id| sent(&host, "stranger", id))).await {
        assert_eq!(event["status"], "rejected");
    }
    let asked = child.told("asked/").await.as_u64().unwrap() - before;
    assert!((1..=10).contains(&asked), "{asked}");
}
