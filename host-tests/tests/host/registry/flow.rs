//! Many changes while events flow.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use kheish_host_tests::{connectors::Http, host::Host};
use serde_json::json;

use super::{fields, path, takes};

/// Connectors that come, change and go.
const CONNECTORS: usize = 1_000;

#[tokio::test]
async fn a_thousand_connectors_come_change_and_go_and_no_event_is_lost() {
    let host = Host::builder().connectors(Http::named("steady").bearer("steady-token").fast()).start().await;
    let stop = AtomicBool::new(false);
    let pour = async |lane: usize| {
        let sender = host.sender("steady").bearer("steady-token");
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            sender.say(&format!("k{lane}-{sent}"), &format!("room {lane}"), "hello").await.expect(200);
            sent += 1;
        }
        sent
    };
    let changes = async {
        join_all((0..4).map(|part| share_of_changes(&host, part))).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = join(join_all((0..2).map(pour)), changes).await;
    let accepted: usize = sent.iter().sum::<usize>() + 2 * CONNECTORS;
    assert_eq!(host.ledger().await["runs"]["queued"], accepted, "of which {sent:?} went through the steady one");
    assert_eq!(host.get("/v1/runtime/connectors").await.items().len(), CONNECTORS / 2 + 1);
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), CONNECTORS / 2);
}

async fn share_of_changes(host: &Host, part: usize) {
    for number in (part..CONNECTORS).step_by(4) {
        come_change_and_go(host, number).await;
    }
}

/// Each change must show in the very next request.
async fn come_change_and_go(host: &Host, number: usize) {
    let name = format!("c{number}");
    let (first, second) = (format!("first-token-{number}"), format!("second-token-{number}"));
    host.put_http(&name, &fields(&first)).await.expect(201);
    assert_eq!(takes(host, &name, &first, "k1").await, 200);
    host.put_http(&name, &json!({ "bearer_token": { "value": second } })).await.expect(200);
    assert_eq!(takes(host, &name, &first, "k2").await, 401);
    assert_eq!(takes(host, &name, &second, "k2").await, 200);
    if number.is_multiple_of(2) {
        host.delete(&path(&name)).await.expect(200);
        assert_eq!(takes(host, &name, &second, "k3").await, 404);
    }
}
