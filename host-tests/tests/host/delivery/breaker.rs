//! A target that fails again and again is left in peace, and asked once after each cooldown.

use kheish_host_tests::{
    host::Host,
    receiver::{Receiver, Reply},
    wait::eventually,
};

use super::say;

async fn host(cooldown_ms: u64) -> Host {
    let settings = format!(
        "[delivery]\npoll_interval_ms = 20\n[delivery.breaker]\nfailures = 2\ncooldown_ms = {cooldown_ms}\n\
         [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 20\n"
    );
    Host::builder().plugins(&[]).settings(&settings).start().await
}

#[tokio::test]
async fn a_broken_lane_waits_for_its_cooldown_and_no_other_lane_does() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.path == "/bad" { 503 } else { 200 })).await;
    let host = host(3_600_000).await;
    let bad = say(&host, "s", &[receiver.target_json("/bad")], &["x"]).await;
    receiver.when("/bad", 2).await;
    eventually("the lane to be left in peace", async || {
        let run = host.run(&bad).await;
        let delivery = &run["deliveries"][0];
        let ended = delivery["status"] == "retrying" && delivery["attempts"] == 2;
        ended.then_some(())
    })
    .await;
    let good = say(&host, "t", &[receiver.target_json("/good"), receiver.target_json("/bad")], &["y"]).await;
    eventually("the other lane to go on", async || {
        let run = host.run(&good).await;
        (run["deliveries"][0]["status"] == "delivered").then_some(())
    })
    .await;
    assert_eq!(receiver.received_at("/bad").len(), 2);
}

#[tokio::test]
async fn the_probe_that_succeeds_closes_the_breaker() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.index < 3 { 503 } else { 200 })).await;
    let host = host(50).await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["one", "two"]).await;
    host.deliveries_when(&run, 2, "delivered").await;
    assert_eq!(receiver.received().len(), 5);
}
