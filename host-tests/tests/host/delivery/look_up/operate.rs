//! Operators: they order a look-up, and decide while one waits or is under way.

use kheish_host_tests::{
    cli::Cli,
    client::Answer,
    connectors::{outbox, outbox_target},
    host::{Host, OUTBOX},
    receiver::{Receiver, Reply},
    sse::Stream,
    wait::eventually,
};
use serde_json::{Value, json};

use super::{delivery, did, finder, recorded, say, target, times, undecided, when, with_finder};
use crate::delivery::{QUICK, builder};

async fn act(host: &Host, delivery: &Value, verb: &str) -> Answer {
    let id = delivery["delivery_id"].as_str().unwrap_or_default();
    host.post(&format!("/v1/deliveries/{id}/{verb}"), &json!({})).await
}

/// The first of these texts is unknown, and the platform could not tell.
async fn left(policy: &str, texts: &[&str]) -> (Host, String, Value) {
    let host = with_finder(&format!("unknown_deliveries = \"{policy}\"")).start().await;
    let route = json!({ "answer": "unknown", "well_from": 2 });
    let run = say(&host, "s", &[target(route)], texts).await;
    let one = undecided(&host, &run, 0).await;
    (host, run, one)
}

/// From now on look-ups say this.
async fn finds(host: &Host, says: &str, policy: &str) {
    host.reconfigure(finder(&format!("find = \"{says}\"\nunknown_deliveries = \"{policy}\"")));
    eventually("the connector has changed", async || {
        let shown = host.get("/v1/runtime/connectors/finder/main").await.expect(200).json;
        shown.to_string().contains(&format!("\"{says}\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_held_lane_goes_on_once_the_platform_has_it() {
    let (host, run, one) = left("hold", &["one", "two"]).await;
    // It still cannot tell: the lane is held again.
    act(&host, &one, "look-up").await.expect(200);
    eventually("it was looked up again", async || (times(&host, "look one 1") == 2).then_some(())).await;
    undecided(&host, &run, 0).await;
    assert_eq!(times(&host, "send two 1"), 0);
    finds(&host, "sent", "hold").await;
    let mut stream = Stream::open(host.client(), &format!("/v1/runs/{run}/stream")).await;
    let answer = act(&host, &one, "look-up").await.expect(200);
    assert_eq!(answer.text("/status"), "unknown");
    let told = stream.until(|frame| frame.text("look_up") == "found").await;
    assert!(told.iter().any(|frame| frame.text("change") == "look_up"), "{told:?}");
    when(&host, &run, 0, "delivered").await;
    host.deliveries_when(&run, 2, "delivered").await;
    assert_eq!(
        recorded(&host, &one).await,
        ["unknown no.answer", "look_up undecidable", "look_up undecidable", "look_up found"]
    );
    act(&host, &one, "look-up").await.problem(409, "deliveries", "delivery_state_conflict");
    let audit = host.state_folder().join("control-plane-auth/audit.jsonl");
    eventually("the audit file has it", async || {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        text.lines().any(|row| row.contains("/look-up\"") && row.contains("control_write")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_passed_and_is_not_there_is_sent_again() {
    let (host, run, one) = left("pass", &["one", "two"]).await;
    undecided(&host, &run, 1).await;
    finds(&host, "absent", "pass").await;
    let id = one["delivery_id"].as_str().unwrap_or_default();
    Cli::of(&host).run(&["deliveries", "look-up", id]).await.expect(0).says(&[id, "unknown"]);
    let sent = when(&host, &run, 0, "delivered").await;
    assert_eq!((&sent["platform_id"], &sent["attempts"]), (&json!(format!("2/kheish:{id}")), &json!(2)));
    assert_eq!(did(&host)[4..], ["look one 1", "send one 2"]);
}

#[tokio::test]
async fn a_look_up_does_not_hurry_what_waits_behind_it() {
    let host = with_finder("").start().await;
    let route = json!({ "answer": "unknown", "retry_after_ms": 3_600_000 });
    let run = say(&host, "s", &[target(route.clone())], &["one"]).await;
    let one = undecided(&host, &run, 0).await;
    // The next one was asked to wait.
    finds(&host, "sent", "pass\"\nanswer = \"retryable").await;
    let next = say(&host, "t", &[target(route)], &["two"]).await;
    let waits = eventually("the next one waits", async || {
        Some(delivery(&host, &next, 0).await).filter(|two| two["last_error"]["code"] == "busy")
    })
    .await;
    act(&host, &one, "look-up").await.expect(200);
    when(&host, &run, 0, "delivered").await;
    let other = say(&host, "u", &[target(json!({ "answer": "ok", "well_from": 1 }))], &["other"]).await;
    when(&host, &other, 0, "delivered").await;
    assert_eq!((delivery(&host, &next, 0).await, times(&host, "send two 1")), (waits, 1));
}

#[tokio::test]
async fn an_operator_decides_while_a_look_up_waits() {
    let late = QUICK.replace("look_up_after_ms = 20", "look_up_after_ms = 3600000");
    let host = with_finder("").settings(&late).start().await;
    let route = json!({ "answer": "unknown", "well_from": 2 });
    let run = say(&host, "s", &[target(route)], &["one", "two", "three"]).await;
    let waits = async |index: usize| {
        eventually("it waits for its look-up", async || {
            let one = delivery(&host, &run, index).await;
            one["next_look_up_at_ms"].is_i64().then_some(one)
        })
        .await
    };
    let one = waits(0).await;
    act(&host, &one, "mark-delivered").await.expect(200);
    let two = waits(1).await;
    act(&host, &two, "resend").await.expect(200);
    when(&host, &run, 1, "delivered").await;
    let three = waits(2).await;
    // And one who does not want to wait has it looked up now.
    finds(&host, "sent", "pass").await;
    act(&host, &three, "look-up").await.expect(200);
    host.deliveries_when(&run, 3, "delivered").await;
    assert_eq!(did(&host), ["send one 1", "send two 1", "send two 2", "send three 1", "look three 1"]);
    // The lane is as it was: what comes next goes.
    let next = say(&host, "t", &[target(json!({ "answer": "unknown", "well_from": 2 }))], &["four"]).await;
    host.deliveries_when(&next, 1, "unknown").await;
}

#[tokio::test]
async fn an_operator_decides_while_a_look_up_is_under_way() {
    for (verb, deeds) in [
        ("mark-delivered", &["send one 1", "look one 1", "send two 1"][..]),
        ("resend", &["send one 1", "look one 1", "send one 2", "send two 1"]),
    ] {
        let settings = format!("{QUICK}[guests]\ndelivery_deadline_ms = 300\n");
        let host = with_finder("find = \"loop\"").settings(&settings).start().await;
        let run = say(&host, "s", &[target(json!({ "answer": "unknown", "well_from": 2 }))], &["one", "two"]).await;
        host.logs("looks for \"one\"").await;
        let one = delivery(&host, &run, 0).await;
        // Ordered a second time it is still one.
        act(&host, &one, "look-up").await.expect(200);
        act(&host, &one, verb).await.expect(200);
        when(&host, &run, 0, "delivered").await;
        host.logs("sends \"two\"").await;
        assert_eq!(did(&host)[..deeds.len()], *deeds, "{verb}");
    }
}

#[tokio::test]
async fn where_nobody_can_be_asked_it_is_refused() {
    let receiver = Receiver::scripted(|_| Reply::HangUp).await;
    let settings = QUICK.replace("[delivery.http]\n", "[delivery.http]\nunknown = \"pass\"\n");
    let host = builder().plugins(&[OUTBOX]).connectors(outbox("main", "")).settings(&settings).start().await;
    let targets = [outbox_target("main", &json!({ "answer": "unknown" })), receiver.target_json("/in")];
    let run = say(&host, "s", &targets, &["one"]).await;
    for one in host.deliveries_when(&run, 2, "unknown").await {
        assert!(one.get("next_look_up_at_ms").is_none(), "{one}");
        act(&host, &one, "look-up").await.problem(409, "deliveries", "look_up_unsupported");
        assert_eq!(delivery(&host, &run, 0).await["status"], "unknown");
    }
    let missing = json!({ "delivery_id": "delivery_00000000000000000000000000000000" });
    act(&host, &missing, "look-up").await.problem(404, "deliveries", "delivery_not_found");
}
