//! Between finish and settle: what was not taken is sent again, under the same key.

use std::collections::BTreeSet;

use kheish_host_tests::{
    host::Host,
    receiver::{Gate, Received, Receiver, Reply},
};
use serde_json::json;

use super::{builder, submit};

async fn finish(host: &Host, outputs: &[&str]) {
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, outputs).await.expect(200);
}

fn keys(received: &[Received]) -> BTreeSet<&str> {
    received.iter().map(Received::key).collect()
}

#[tokio::test]
async fn a_delivery_that_waits_for_its_next_attempt_is_tried_after_the_restart() {
    let receiver = Receiver::scripted(|_| Reply::Status(503)).await;
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    finish(&host, &["hello"]).await;
    receiver.when("/in", 2).await;
    host.kill();
    receiver.follow(|_| Reply::Status(200));
    host.restart().await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    let received = receiver.received();
    assert_eq!(
        (keys(&received).len(), received[0].key()),
        (1, format!("kheish:{}", delivery["delivery_id"].as_str().unwrap_or_default()).as_str())
    );
}

#[tokio::test]
async fn a_delivery_in_flight_is_sent_again_with_its_key() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(
        move |request| if request.index == 0 { Reply::Hold(held.clone()) } else { Reply::Status(200) },
    )
    .await;
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    finish(&host, &["one", "two"]).await;
    receiver.when("/in", 1).await;
    assert_eq!(host.run(&run).await["deliveries"][0]["status"], "sending");
    host.kill();
    gate.open();
    host.restart().await;
    host.deliveries_when(&run, 2, "delivered").await;
    let received = receiver.received();
    let said: Vec<&str> = received.iter().map(Received::content).collect();
    assert_eq!(said, ["one", "one", "two"], "in order, and again only what was in flight");
    assert_eq!(keys(&received).len(), 2);
    assert_eq!(received[0].body, received[1].body);
}

#[tokio::test]
async fn a_delivery_that_arrived_is_not_sent_again() {
    let receiver = Receiver::start().await;
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    finish(&host, &["one"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    host.kill();
    host.restart().await;
    // The same lane goes on: what comes after shows that nothing came between.
    let next = submit(&host, "t", &[receiver.target_json("/in")]).await;
    finish(&host, &["two"]).await;
    host.deliveries_when(&next, 1, "delivered").await;
    let said: Vec<String> = receiver.received().iter().map(|request| request.content().to_owned()).collect();
    assert_eq!(said, ["one", "two"]);
}

#[tokio::test]
async fn what_ended_just_before_the_crash_is_delivered_once() {
    let receiver = Receiver::start().await;
    let mut host = builder().start().await;
    let targets = [receiver.target_json("/a"), receiver.target_json("/b")];
    let run = submit(&host, "s", &targets).await;
    finish(&host, &["1", "2", "3"]).await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 6, "delivered").await;
    for path in ["/a", "/b"] {
        let mut seen = BTreeSet::new();
        let received = receiver.received_at(path);
        // A receiver that recognises keys sees each once, in order.
        let said: Vec<&str> =
            received.iter().filter(|request| seen.insert(request.key())).map(Received::content).collect();
        assert_eq!(said, ["1", "2", "3"], "{path}");
    }
}

#[tokio::test]
async fn a_dead_letter_stays_one() {
    let receiver =
        Receiver::scripted(|request| Reply::Status(if request.content() == "bad" { 404 } else { 200 })).await;
    let mut host = builder().start().await;
    let run = submit(&host, "s", &[receiver.target_json("/in")]).await;
    finish(&host, &["bad"]).await;
    host.deliveries_when(&run, 1, "dead_lettered").await;
    host.kill();
    host.restart().await;
    let next = submit(&host, "t", &[receiver.target_json("/in")]).await;
    finish(&host, &["good"]).await;
    host.deliveries_when(&next, 1, "delivered").await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(host.run(&run).await["deliveries"][0]["last_error"]["code"], json!("status"));
}

#[tokio::test]
async fn a_crash_costs_the_other_lanes_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver =
        Receiver::scripted(
            move |request| if request.path == "/stuck" { Reply::Hold(held.clone()) } else { Reply::Status(200) },
        )
        .await;
    let mut host = builder().start().await;
    let stuck = submit(&host, "stuck", &[receiver.target_json("/stuck")]).await;
    finish(&host, &["x"]).await;
    for round in 1..=3 {
        receiver.when("/stuck", round).await;
        host.kill();
        host.restart().await;
        let quick = submit(&host, "quick", &[receiver.target_json("/quick")]).await;
        finish(&host, &["y"]).await;
        host.deliveries_when(&quick, 1, "delivered").await;
    }
    gate.open();
    host.deliveries_when(&stuck, 1, "delivered").await;
    assert_eq!(keys(&receiver.received_at("/stuck")).len(), 1);
    assert_eq!(keys(&receiver.received_at("/quick")).len(), 3);
}
