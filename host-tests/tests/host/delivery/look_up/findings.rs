//! What follows from each finding.

use serde_json::json;

use super::{did, interrupted, recorded, say, target, times, undecided, when, with_finder};

#[tokio::test]
async fn what_the_platform_has_is_delivered_and_not_sent_again() {
    let (host, run) = interrupted(json!({ "find": "sent" }), &["one"], "").await;
    let found = when(&host, &run, 0, "delivered").await;
    let id = found["delivery_id"].as_str().unwrap_or_default();
    assert_eq!((&found["platform_id"], &found["attempts"]), (&json!(format!("1/kheish:{id}")), &json!(1)));
    assert!(found.get("last_error").is_none(), "{found}");
    assert_eq!(did(&host), ["look one 1"]);
    assert_eq!(recorded(&host, &found).await, ["unknown interrupted", "look_up found"]);
}

#[tokio::test]
async fn what_the_platform_does_not_have_is_sent_again_under_the_same_key() {
    let (host, run) = interrupted(json!({ "find": "absent" }), &["one"], "").await;
    let sent = when(&host, &run, 0, "delivered").await;
    let id = sent["delivery_id"].as_str().unwrap_or_default();
    assert_eq!((&sent["platform_id"], &sent["attempts"]), (&json!(format!("2/kheish:{id}")), &json!(2)));
    assert_eq!(did(&host), ["look one 1", "send one 2"]);
    assert_eq!(recorded(&host, &sent).await, ["unknown interrupted", "look_up absent"]);
}

#[tokio::test]
async fn what_is_never_there_is_given_up_after_the_last_attempt() {
    let host = with_finder("").start().await;
    let run = say(&host, "s", &[target(json!({ "answer": "unknown", "find": "absent" }))], &["one"]).await;
    let dead = when(&host, &run, 0, "dead_lettered").await;
    assert_eq!((&dead["attempts"], &dead["terminal_error"]["code"]), (&json!(3), &json!("absent")));
    assert_eq!(did(&host), ["send one 1", "look one 1", "send one 2", "look one 2", "send one 3", "look one 3"]);
}

#[tokio::test]
async fn what_the_platform_cannot_tell_goes_the_way_of_the_policy() {
    let route = json!({ "find": "undecidable" });
    let (host, run) =
        interrupted(route.clone(), &["one", "two"], "unknown_deliveries = \"pass\"\nanswer = \"unknown\"").await;
    when(&host, &run, 1, "unknown").await;
    let passed = undecided(&host, &run, 0).await;
    assert_eq!(passed["last_error"]["code"], "undecidable");
    assert_eq!(did(&host)[..2], ["look one 1", "send two 1"]);

    let (host, run) = interrupted(route.clone(), &["one", "two"], "unknown_deliveries = \"resend\"").await;
    when(&host, &run, 0, "delivered").await;
    host.logs("sends \"two\"").await;
    assert_eq!(did(&host)[..3], ["look one 1", "send one 2", "send two 1"]);

    let (mut host, run) = interrupted(route, &["one", "two"], "unknown_deliveries = \"hold\"").await;
    undecided(&host, &run, 0).await;
    host.kill();
    host.restart().await;
    // Another lane shows that the daemon works; this one sends nothing.
    let other = say(&host, "t", &[target(json!({ "answer": "ok", "lane": "b" }))], &["three"]).await;
    host.deliveries_when(&other, 1, "delivered").await;
    assert_eq!(
        (did(&host), super::delivery(&host, &run, 1).await["status"].clone()),
        (vec!["send three 1".to_owned()], json!("pending"))
    );
}

#[tokio::test]
async fn what_got_no_answer_is_looked_up_without_a_crash() {
    let host = with_finder("").start().await;
    let run = say(&host, "s", &[target(json!({ "answer": "unknown", "find": "sent" }))], &["one", "two"]).await;
    let found = host.deliveries_when(&run, 2, "delivered").await;
    assert_eq!(did(&host), ["send one 1", "look one 1", "send two 1", "look two 1"]);
    assert_eq!(recorded(&host, &found[0]).await, ["unknown no.answer", "look_up found"]);
    assert_eq!(times(&host, "look one 1"), 1);
}
