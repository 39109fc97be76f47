//! Lanes: in order within, side by side without.

use kheish_host_tests::receiver::{Gate, Receiver, Reply};
use serde_json::Value;

use super::{builder, say};

fn contents(receiver: &Receiver, path: &str) -> Vec<String> {
    receiver.received_at(path).iter().map(|request| request.content().to_owned()).collect()
}

#[tokio::test]
async fn outputs_of_one_run_arrive_in_order_also_when_the_first_has_to_be_tried_again() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.index < 2 { 503 } else { 200 })).await;
    let host = builder().start().await;
    let texts: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    let outputs: Vec<&str> = texts.iter().map(String::as_str).collect();
    let run = say(&host, "s", &[receiver.target_json("/in")], &outputs).await;
    host.deliveries_when(&run, 8, "delivered").await;
    assert_eq!(contents(&receiver, "/in"), ["0", "0", "0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn runs_of_many_sessions_share_a_lane_in_the_order_in_which_they_ended() {
    let receiver = Receiver::start().await;
    let host = builder().start().await;
    let mut last = String::new();
    for n in 0..10 {
        last = say(&host, &format!("s{n}"), &[receiver.target_json("/in")], &[&n.to_string()]).await;
    }
    host.deliveries_when(&last, 1, "delivered").await;
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(contents(&receiver, "/in"), expected);
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_nobody_else() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(move |request| match request.path.as_str() {
        "/quick" => Reply::Status(200),
        _ => Reply::Hold(held.clone()),
    })
    .await;
    let host = builder().start().await;
    let slow: Vec<Value> = (0..20).map(|n| receiver.target_json(&format!("/slow/{n}"))).collect();
    let stuck = say(&host, "slow", &slow, &["one", "two"]).await;
    for n in 0..20 {
        receiver.when(&format!("/slow/{n}"), 1).await;
    }
    for n in 0..5 {
        let run = say(&host, &format!("quick {n}"), &[receiver.target_json("/quick")], &["hello"]).await;
        host.deliveries_when(&run, 1, "delivered").await;
    }
    // Meanwhile each hanging target got its first and nothing more.
    assert_eq!(receiver.received().iter().filter(|request| request.path != "/quick").count(), 20);
    gate.open();
    host.deliveries_when(&stuck, 40, "delivered").await;
    assert_eq!(contents(&receiver, "/slow/7"), ["one", "two"]);
}

#[tokio::test]
async fn a_target_that_fails_holds_up_nobody_else() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.path == "/broken" { 500 } else { 200 })).await;
    let host = builder().start().await;
    let targets = [receiver.target_json("/broken"), receiver.target_json("/well")];
    let run = say(&host, "s", &targets, &["one", "two", "three"]).await;
    receiver.when("/well", 3).await;
    assert_eq!(contents(&receiver, "/well"), ["one", "two", "three"]);
    // The broken lane gives up its deliveries one by one and blocks nothing for ever.
    kheish_host_tests::wait::eventually("the broken lane is empty", async || {
        let run = host.run(&run).await;
        let dead = run["deliveries"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|one| one["status"] == "dead_lettered").count());
        (dead == 3).then_some(())
    })
    .await;
    assert_eq!(contents(&receiver, "/broken").len(), 9);
}

#[tokio::test]
async fn one_target_never_gets_two_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(move |request| match request.index {
        0 => Reply::Hold(held.clone()),
        _ => Reply::Status(200),
    })
    .await;
    let host = builder().start().await;
    let one = say(&host, "one", &[receiver.target_json("/in")], &["1"]).await;
    receiver.when("/in", 1).await;
    let two = say(&host, "two", &[receiver.target_json("/in")], &["2"]).await;
    // A lane beside it goes all the way meanwhile; the held one does not move.
    let beside = say(&host, "beside", &[receiver.target_json("/beside")], &["3"]).await;
    host.deliveries_when(&beside, 1, "delivered").await;
    assert_eq!(receiver.received_at("/in").len(), 1);
    assert_eq!(host.run(&two).await["deliveries"][0]["status"], "pending");
    gate.open();
    host.deliveries_when(&one, 1, "delivered").await;
    host.deliveries_when(&two, 1, "delivered").await;
    assert_eq!(contents(&receiver, "/in"), ["1", "2"]);
}
