//! What is behind a part that is looked up waits for it.

use kheish_host_tests::wait::eventually;
use serde_json::json;

use super::{delivery, did, finder, recorded, say, target, with_finder};
use crate::delivery::QUICK;

#[tokio::test]
async fn parts_go_on_one_by_one_behind_each_look_up() {
    let host = with_finder("").start().await;
    let long = ["a", "b", "c"].map(|letter| letter.repeat(70)).join("\n\n");
    let run = say(&host, "s", &[target(json!({ "answer": "unknown", "find": "sent" }))], &[&long]).await;
    let found = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    let deeds: Vec<String> = did(&host).iter().map(|deed| deed[..6].to_owned()).collect();
    assert_eq!(deeds, ["send a", "look a", "send b", "look b", "send c", "look c"]);
    assert_eq!(recorded(&host, &found).await.len(), 6);
    let id = found["delivery_id"].as_str().unwrap_or_default();
    host.logs(&format!("part 1 of 3 after [Some(\"1/kheish:{id}:0\")]")).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_look_up_is_due_and_other_lanes_go_on() {
    let late = QUICK.replace("look_up_after_ms = 20", "look_up_after_ms = 3600000");
    let mut host = with_finder("").settings(&late).start().await;
    let run = say(&host, "s", &[target(json!({ "answer": "unknown" }))], &["one", "two"]).await;
    for _ in 0..2 {
        let waits = eventually("the first waits for its look-up", async || {
            let one = delivery(&host, &run, 0).await;
            one["next_look_up_at_ms"].is_i64().then_some(one)
        })
        .await;
        assert_eq!((&waits["status"], &waits["attempts"]), (&json!("unknown"), &json!(1)));
        // More for the same lane does not hurry it.
        let more = say(&host, "more", &[target(json!({ "answer": "unknown" }))], &["more"]).await;
        let other = say(&host, "other", &[target(json!({ "answer": "ok", "lane": "b" }))], &["other"]).await;
        host.deliveries_when(&other, 1, "delivered").await;
        assert_eq!(delivery(&host, &more, 0).await["status"], "pending");
        assert!(!did(&host).iter().any(|deed| deed.starts_with("look") || deed == "send two 1"), "{:?}", did(&host));
        host.kill();
        host.reconfigure(finder(""));
        host.restart().await;
    }
}
