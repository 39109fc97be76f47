//! Long outputs go out in parts: in order, each once, and none behind one that is given up.

use kheish_host_tests::{connectors::outbox_target, host::Host, sse::Stream, wait::eventually};
use serde_json::{Value, json};

use super::{say, with_outbox};

/// Three paragraphs, of which one part of the fixture holds one.
fn long() -> String {
    ["a", "b", "c"].map(|letter| letter.repeat(70)).join("\n\n")
}

fn sends(host: &Host) -> Vec<char> {
    let log = host.log();
    log.lines().filter_map(|line| line.split_once(" sends \"")?.1.chars().next()).collect()
}

/// The run's deliveries, once all of what there is has this status.
async fn all_when(host: &Host, run: &str, status: &str) -> Vec<Value> {
    eventually(&format!("all of {run} to be {status}"), async || {
        let found = host.run(run).await["deliveries"].as_array().cloned().unwrap_or_default();
        (!found.is_empty() && found.iter().all(|one| one["status"] == status)).then_some(found)
    })
    .await
}

#[tokio::test]
async fn parts_go_out_in_order_and_know_what_went_before() {
    let host = with_outbox().start().await;
    let run = say(&host, "s", &[outbox_target("main", &json!({ "answer": "ok" }))], &[&long()]).await;
    let parts = all_when(&host, &run, "delivered").await;
    assert_eq!(sends(&host), ['a', 'b', 'c']);
    let id = parts[0]["delivery_id"].as_str().unwrap_or_default();
    host.logs(&format!("part 2 of 3 after [Some(\"1/kheish:{id}:0\"), Some(\"1/kheish:{id}:1\")]")).await;
}

#[tokio::test]
async fn a_retry_repeats_only_the_part_that_failed() {
    let host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "retryable", "well_from": 2 }));
    let run = say(&host, "s", &[target], &[&long()]).await;
    all_when(&host, &run, "delivered").await;
    assert_eq!(sends(&host), ['a', 'a', 'b', 'b', 'c', 'c']);
}

#[tokio::test]
async fn a_part_that_is_given_up_takes_those_behind_it_along_and_the_lane_goes_on() {
    let host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "terminal" }));
    let run = say(&host, "s", &[target], &[&long(), "next"]).await;
    all_when(&host, &run, "dead_lettered").await;
    assert_eq!(sends(&host), ['a', 'n']);
    let told = cancelled(&host, 2).await;
    assert_eq!(told, [json!([1, null]), json!([2, null])], "no operator did it");
}

#[tokio::test]
async fn every_part_that_is_withdrawn_is_told_of() {
    let host = with_outbox().start().await;
    let target = outbox_target("main", &json!({ "answer": "retryable", "retry_after_ms": 3_600_000 }));
    let run = say(&host, "s", &[target], &[&long()]).await;
    let id = eventually("the platform asked to wait", async || {
        let one = host.run(&run).await["deliveries"][0].clone();
        one["last_error"].is_object().then(|| one["delivery_id"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    host.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await.expect(200);
    let told = cancelled(&host, 3).await;
    assert_eq!(told, [0, 1, 2].map(|part| json!([part, "cancelled"])));
}

/// Part and change of each of the first events that tell of a cancelled part.
async fn cancelled(host: &Host, count: usize) -> Vec<Value> {
    let mut told = Stream::open(host.client(), "/v1/events/stream?cursor=0").await;
    let mut parts = Vec::new();
    while parts.len() < count {
        let last = told.until(|frame| frame.text("status") == "cancelled").await.pop().unwrap();
        parts.push(json!([last.data["part"], last.data["change"]]));
    }
    parts
}
