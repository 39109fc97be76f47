//! A child runs at one of several daemons, and the others say so.

use kheish_host_tests::child::{Child, PATH, process_when, running};
use serde_json::json;

use super::{builder, looked_at_again, patient};
use crate::duties::{let_go, taken_by_another};

/// Duties are lost, and taken, soon.
const SOON: &str = "[duties]\nlease_ms = 600\n";

#[tokio::test]
async fn a_child_runs_at_one_daemon_only() {
    let (host, child) = (builder(SOON).start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    let first = running(&host).await;
    taken_by_another(&host).await;
    process_when(&host, "it runs elsewhere", |process| process["state"] == "elsewhere").await;
    child.is_gone().await;
    let_go(&host).await;
    assert_ne!(running(&host).await, first);
}

#[tokio::test]
async fn whoever_lost_its_turn_kills_its_child_at_once() {
    let (host, child) = (patient(SOON).start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    running(&host).await;
    taken_by_another(&host).await;
    child.is_gone().await;
    assert!(!host.log().contains("the kernel holds it"), "{}", host.log());
}

#[tokio::test]
async fn whoever_loses_its_turn_while_its_child_ends_waits_no_longer() {
    let (host, child) = (patient(SOON).start().await, Child::new());
    child.put(&host, "gentle", &json!({})).await;
    running(&host).await;
    host.post(&format!("{PATH}/restart"), &json!({})).await.expect(200);
    host.logs("asked to end 1").await;
    taken_by_another(&host).await;
    child.is_gone().await;
}

#[tokio::test]
async fn orders_are_for_the_daemon_that_runs_the_child() {
    let (host, child) = (builder(SOON).start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    taken_by_another(&host).await;
    process_when(&host, "it runs elsewhere", |process| process["state"] == "elsewhere").await;
    for (order, domain) in [
        (format!("{PATH}/restart"), "connectors"),
        ("/v1/runtime/auth/subjects/connector:bridge/revoke".to_owned(), "credentials"),
    ] {
        let refused = host.post(&order, &json!({})).await;
        refused.problem(409, domain, "runs_elsewhere");
        assert!(refused.text("/detail").contains("another daemon"), "{}", refused.json);
    }
    let_go(&host).await;
    let pid = running(&host).await;
    assert_eq!(looked_at_again(&host).await["process"]["pid"], json!(pid), "an order was kept for later");
}
