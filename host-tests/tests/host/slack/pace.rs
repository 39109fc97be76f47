//! Rates that the host keeps by itself, judged by how often the double had to refuse.

use std::time::UNIX_EPOCH;

use kheish_host_tests::{
    host::{Host, SLACK},
    scrape::Scrape,
    slack::{Fault, WebApi},
    wait::eventually,
};
use serde_json::{Value, json};

use super::support;

/// So many times quicker than in earnest are the double and the daemon.
const QUICKER: u32 = 20;

/// A daemon at so many percent of Slack's rates, which looks for nothing unless something happens.
async fn host(api: &WebApi, percent: u32, workers: u32) -> Host {
    let delivery = format!("[delivery]\npace_percent = {percent}\nworkers = {workers}\npoll_interval_ms = 60000\n");
    let settings = format!("{delivery}[queue]\nsweep_interval_ms = 20\n");
    Host::builder().plugins(&[SLACK]).connectors(support(&api.url(), "")).settings(&settings).start().await
}

fn target(route: &Value) -> Value {
    let mut address = route.clone();
    address["connector"] = "support".into();
    json!({ "plugin": "slack", "address": address.to_string() })
}

/// A run whose outputs go there. Gives its id.
async fn say(host: &Host, session: &str, route: &Value, outputs: &[String]) -> String {
    host.make_session(session).await;
    host.submit(session, &json!({ "content": "x", "reply_targets": [target(route)] })).await.expect(202);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    worker.finish(&claimed, &outputs).await.expect(200);
    claimed.run
}

fn texts(channel: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{channel} {number}")).collect()
}

#[tokio::test]
async fn forty_messages_into_three_channels_are_never_refused() {
    let api = WebApi::start().await;
    api.quicker(f64::from(QUICKER));
    let host = host(&api, 100 * QUICKER, 128).await;
    let mut runs = Vec::new();
    // Threads of one channel, which are lanes of their own.
    for number in 0..14 {
        let thread = api.says("C1", "question");
        let route = json!({ "channel_id": "C1", "thread_ts": thread });
        runs.push((say(&host, &format!("thread {number}"), &route, &[format!("C1 {number}")]).await, 1));
    }
    for channel in ["C2", "C3"] {
        api.channel(channel);
        runs.push((say(&host, channel, &json!({ "channel_id": channel }), &texts(channel, 13)).await, 13));
    }
    for (run, count) in &runs {
        let deliveries = host.deliveries_when(run, *count, "delivered").await;
        assert!(deliveries.iter().all(|delivery| delivery["attempts"] == 1), "{deliveries:?}");
    }
    assert_eq!((api.calls_of("chat.postMessage").len(), api.floods()), (40, 0));
    assert_eq!(api.texts("C1"), texts("C1", 14), "who came first was served first");
    assert_eq!((api.texts("C2"), api.texts("C3")), (texts("C2", 13), texts("C3", 13)));
    assert!(Scrape::of(&host).await.value("paced_seconds_total{platform=\"slack\"}") > 0.0);
}

#[tokio::test]
async fn what_waits_for_its_turn_says_so_and_holds_up_nobody() {
    let api = WebApi::start().await;
    api.channel("C2");
    let host = host(&api, 1, 1).await;
    let run = say(&host, "much", &json!({ "channel_id": "C1" }), &texts("C1", 5)).await;
    api.when_sent("C1", 3).await;
    let other = say(&host, "little", &json!({ "channel_id": "C2" }), &texts("C2", 1)).await;
    host.deliveries_when(&other, 1, "delivered").await;
    let waits = eventually("the fourth knows when it goes", async || {
        let run = host.run(&run).await;
        let fourth = run["deliveries"][3].clone();
        let settled = run["deliveries"][2]["status"] == "delivered";
        (settled && fourth["next_attempt_at_ms"].is_i64()).then_some(fourth)
    })
    .await;
    let now_ms = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    assert_eq!((&waits["status"], &waits["attempts"]), (&json!("pending"), &json!(0)), "{waits}");
    assert!(waits["next_attempt_at_ms"].as_i64().unwrap() > now_ms + 10_000, "{waits}");
    assert_eq!(api.texts("C1"), texts("C1", 3));
}

#[tokio::test]
async fn one_refusal_has_the_whole_channel_wait() {
    let api = WebApi::start().await;
    api.fail("chat.postMessage", [Fault::Flood(3)]);
    let host = host(&api, 100 * QUICKER, 128).await;
    let mut runs = Vec::new();
    for number in 0..3 {
        let route = json!({ "channel_id": "C1", "thread_ts": api.says("C1", "question") });
        runs.push(say(&host, &format!("thread {number}"), &route, &[format!("C1 {number}")]).await);
        // The first one is refused before the others ask.
        eventually("it is told", async || {
            let first = host.run(&runs[0]).await;
            first["deliveries"][0].get("last_error").map(drop)
        })
        .await;
    }
    assert_eq!(api.calls_of("chat.postMessage").len(), 1, "three seconds are not over");
    for run in &runs {
        host.deliveries_when(run, 1, "delivered").await;
    }
    assert_eq!(api.calls_of("chat.postMessage").len(), 4);
}
