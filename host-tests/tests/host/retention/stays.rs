//! What is still needed stays, however old it is.

use kheish_host_tests::receiver::{Receiver, Reply};

use super::{age, answered, gone, host, is_whole, later};

#[tokio::test]
async fn runs_that_have_not_ended() {
    let receiver = Receiver::start().await;
    let (mut host, sender) = host(&receiver, "").await;
    let done = answered(&host, &sender, "k1", "delivered").await;
    let waits = sender.say("k2", "room", "still waiting").await.expect(200).text("/run_id").to_owned();
    later(&mut host, 100).await;
    gone(&host, "runs", 1).await;
    host.get(&format!("/v1/runs/{}", age::name(&done, 100))).await.expect(404);
    // The next round has seen it as well.
    let newer = answered_late(&mut host, &waits).await;
    assert!(is_whole(&newer), "{newer}");
}

/// A run that waited for a hundred days is performed as if nothing had happened.
async fn answered_late(host: &mut kheish_host_tests::host::Host, run: &str) -> serde_json::Value {
    let run = age::name(run, 100);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.text(), "still waiting");
    worker.finish(&claimed, &["at last"]).await.expect(200);
    host.deliveries_when(&run, 1, "delivered").await;
    host.run(&run).await
}

#[tokio::test]
async fn what_dead_letters_say() {
    let receiver = Receiver::scripted(|_| Reply::Status(400)).await;
    let (mut host, sender) = host(&receiver, "runs_days = 30").await;
    let run = answered(&host, &sender, "k", "dead_lettered").await;
    later(&mut host, 89).await;
    gone(&host, "bodies", 1).await;
    let left = host.run(&age::name(&run, 89)).await;
    assert_eq!(left["outputs"][0]["content"], "not much");
    assert_eq!(left["deliveries"][0]["status"], "dead_lettered");
    later(&mut host, 2).await;
    gone(&host, "deliveries", 1).await;
    gone(&host, "runs", 1).await;
}

#[tokio::test]
async fn what_nobody_knows_the_end_of() {
    let receiver = Receiver::start().await;
    let (mut host, sender) = host(&receiver, "").await;
    let unknown = answered(&host, &sender, "k1", "delivered").await;
    host.terminate().await;
    age::change(&host, "UPDATE deliveries SET status = 3").await;
    host.restart().await;
    answered(&host, &super::sender(&host), "k2", "delivered").await;
    later(&mut host, 1_000).await;
    gone(&host, "runs", 1).await;
    gone(&host, "deliveries", 1).await;
    assert!(is_whole(&host.run(&age::name(&unknown, 1_000)).await));
    host.terminate().await;
    age::change(&host, "UPDATE deliveries SET resolved_ms = ended_ms").await;
    host.restart().await;
    gone(&host, "deliveries", 1).await;
    gone(&host, "runs", 1).await;
}
