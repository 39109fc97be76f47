//! What is tried again, with which key, when, and what is given up.

use std::{collections::BTreeSet, time::Duration};

use kheish_host_tests::{
    host::Host,
    receiver::{Gate, Received, Receiver, Reply},
};
use serde_json::{Value, json};

use super::{builder, say};

/// One delivery to `receiver` until it has this status; returns it and what arrived.
async fn deliver(host: &Host, receiver: &Receiver, status: &str) -> (Value, Vec<Received>) {
    let run = say(host, "s", &[receiver.target_json("/in")], &["hello"]).await;
    let delivery = host.deliveries_when(&run, 1, status).await.remove(0);
    (delivery, receiver.received())
}

fn keys(received: &[Received]) -> BTreeSet<&str> {
    received.iter().map(Received::key).collect()
}

#[tokio::test]
async fn unavailable_targets_are_tried_again_with_the_same_key() {
    for bad in [500, 503, 408, 425] {
        let receiver =
            Receiver::scripted(move |request| Reply::Status(if request.index == 0 { bad } else { 200 })).await;
        let host = builder().start().await;
        let (delivery, received) = deliver(&host, &receiver, "delivered").await;
        assert_eq!((received.len(), keys(&received).len()), (2, 1), "{bad}");
        assert_eq!(received[0].body, received[1].body);
        assert_eq!(delivery["attempts"], 2, "{bad}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_with_the_same_key() {
    let receiver =
        Receiver::scripted(|request| if request.index == 0 { Reply::HangUp } else { Reply::Status(204) }).await;
    let host = builder().start().await;
    let (_, received) = deliver(&host, &receiver, "delivered").await;
    assert_eq!((received.len(), keys(&received).len()), (2, 1));
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_given_up_for_now() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(
        move |request| if request.index == 0 { Reply::Hold(held.clone()) } else { Reply::Status(200) },
    )
    .await;
    let host = builder().settings(&format!("{}\n[egress]\ntimeout_ms = 150\n", super::QUICK)).start().await;
    let (delivery, received) = deliver(&host, &receiver, "delivered").await;
    assert_eq!((received.len(), keys(&received).len()), (2, 1));
    assert_eq!(delivery["attempts"], 2);
    gate.open();
}

#[tokio::test]
async fn a_target_that_asks_to_wait_is_waited_for_and_it_costs_no_attempt() {
    let receiver = Receiver::scripted(|request| match request.index {
        0 => Reply::With(429, "retry-after", "1".to_owned()),
        _ => Reply::Status(200),
    })
    .await;
    // One attempt only: if the answer counted, the delivery would be dead.
    let host = builder().settings(&super::QUICK.replace("max_attempts = 3", "max_attempts = 1")).start().await;
    let (delivery, received) = deliver(&host, &receiver, "delivered").await;
    assert_eq!((received.len(), keys(&received).len()), (2, 1));
    let waited = received[1].at - received[0].at;
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
    assert_eq!(delivery["attempts"], 1);
}

#[tokio::test]
async fn a_target_that_says_come_back_at_once_is_not_hammered() {
    let receiver = Receiver::scripted(|request| match request.index {
        0 => Reply::With(429, "retry-after", "0".to_owned()),
        1 => Reply::With(503, "retry-after", "0".to_owned()),
        _ => Reply::Status(200),
    })
    .await;
    // What the target asks for is at least what the schedule says (contract section 6.2), and that is a twentieth of this at least.
    let settings = super::QUICK.replace("initial_ms = 20\nmax_ms = 60", "initial_ms = 1000\nmax_ms = 1000");
    let host = builder().settings(&settings).start().await;
    let (_, received) = deliver(&host, &receiver, "delivered").await;
    for pair in received.windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= Duration::from_millis(45), "{waited:?}");
    }
    assert_eq!(received.len(), 3);
}

#[tokio::test]
async fn what_the_target_refuses_is_not_tried_again() {
    for bad in [400, 401, 403, 404, 409, 410, 413, 422] {
        let receiver = Receiver::scripted(move |_| Reply::Status(bad)).await;
        let host = builder().start().await;
        let (delivery, received) = deliver(&host, &receiver, "dead_lettered").await;
        assert_eq!((received.len(), &delivery["attempts"]), (1, &json!(1)), "{bad}");
        assert_eq!(delivery["last_error"]["code"], "status");
        let detail = delivery["last_error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(&bad.to_string()), "{detail}");
        assert!(delivery["dead_lettered_at_ms"].as_i64().is_some(), "{delivery}");
    }
}

#[tokio::test]
async fn attempts_are_bounded_and_the_lane_moves_on() {
    let receiver =
        Receiver::scripted(|request| Reply::Status(if request.content() == "bad" { 500 } else { 200 })).await;
    let host = builder().start().await;
    let bad = say(&host, "s", &[receiver.target_json("/in")], &["bad"]).await;
    let good = say(&host, "t", &[receiver.target_json("/in")], &["good"]).await;
    let delivery = host.deliveries_when(&bad, 1, "dead_lettered").await.remove(0);
    host.deliveries_when(&good, 1, "delivered").await;
    let said: Vec<String> = receiver.received().iter().map(|request| request.content().to_owned()).collect();
    assert_eq!(said, ["bad", "bad", "bad", "good"]);
    assert_eq!((&delivery["attempts"], &delivery["last_error"]["code"]), (&json!(3), &json!("status")));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url("/elsewhere");
    let receiver = Receiver::scripted(move |request| match request.index % 4 {
        0 => Reply::With(301, "location", location.clone()),
        1 => Reply::With(302, "location", "/other".to_owned()),
        _ => Reply::With(307, "location", location.clone()),
    })
    .await;
    let host = builder().start().await;
    let (delivery, received) = deliver(&host, &receiver, "dead_lettered").await;
    assert!(elsewhere.received().is_empty());
    assert!(received.iter().all(|request| request.path == "/in"));
    assert_eq!(delivery["last_error"]["code"], "status");
}

#[tokio::test]
async fn a_target_where_nobody_listens_becomes_a_dead_letter() {
    let gone = Receiver::start().await;
    let target = gone.target_json("/in");
    drop(gone);
    let host = builder().start().await;
    let run = say(&host, "s", &[target], &["hello"]).await;
    let delivery = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["last_error"]["code"]), (&json!(3), &json!("connect")));
}

#[tokio::test]
async fn a_wait_that_is_too_long_for_one_delivery_holds_for_the_next() {
    let receiver = Receiver::scripted(|_| Reply::With(503, "retry-after", "3600".to_owned())).await;
    let settings = super::QUICK.replace("max_attempts = 3\n[delivery.conn", "give_up_after_ms = 60000\n[delivery.conn");
    let host = builder().settings(&settings).start().await;
    deliver(&host, &receiver, "dead_lettered").await;
    let next = say(&host, "t", &[receiver.target_json("/in")], &["next"]).await;
    // Another lane is served, so this one has been looked at.
    let quick = Receiver::start().await;
    let run = say(&host, "u", &[quick.target_json("/in")], &["quick"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(host.run(&next).await["deliveries"][0]["attempts"], 0);
    assert_eq!(receiver.count(), 1, "the target asked for an hour");
}

#[tokio::test]
async fn a_delivery_that_waits_says_why_and_until_when() {
    let receiver = Receiver::scripted(|_| Reply::With(503, "retry-after", "3600".to_owned())).await;
    let host = builder().start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["hello"]).await;
    let delivery = kheish_host_tests::wait::eventually("the first attempt is settled", async || {
        let delivery = host.run(&run).await["deliveries"][0].clone();
        (delivery["last_error"].is_object()).then_some(delivery)
    })
    .await;
    assert_eq!((&delivery["status"], &delivery["last_error"]["code"]), (&json!("retrying"), &json!("status")));
    for (status, count) in [("retrying", 1), ("pending", 0)] {
        let listed = host.get(&format!("/v1/deliveries?status={status}")).await.expect(200);
        assert_eq!(listed.items().len(), count, "{status}");
    }
    let now = host.get("/v1/status").await.expect(200).json["snapshot_at_ms"].as_i64().unwrap_or_default();
    let wait = delivery["next_attempt_at_ms"].as_i64().unwrap_or_default() - now;
    assert!((3_500_000..=3_600_000).contains(&wait), "{wait}");
    // What stands behind it in the lane waits as long.
    let behind = say(&host, "t", &[receiver.target_json("/in")], &["behind"]).await;
    let behind = host.deliveries_when(&behind, 1, "pending").await.remove(0);
    assert_eq!(behind["next_attempt_at_ms"], delivery["next_attempt_at_ms"]);
}
