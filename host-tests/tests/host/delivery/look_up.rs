//! Look-ups: what may have arrived is asked for at its platform before anything else goes there.

mod failures;
mod findings;
mod operate;
mod order;

use kheish_host_tests::{
    connectors::outbox,
    host::{FINDER, Host, HostBuilder},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{builder, say};

/// A connector of the `finder` kind, open to anybody, with these further lines.
fn finder(lines: &str) -> String {
    outbox("main", lines).replace("\"outbox\"", "\"finder\"")
}

fn with_finder(lines: &str) -> HostBuilder {
    builder().plugins(&[FINDER]).connectors(finder(lines))
}

/// A target of `finder/main`.
fn target(mut route: Value) -> Value {
    route["connector"] = "main".into();
    json!({ "plugin": "finder", "address": route.to_string() })
}

/// What the guest did in this process, in order: `send one 1`, `look one 1`, with the attempt's number.
fn did(host: &Host) -> Vec<String> {
    let log = host.log();
    let deeds = log.lines().filter_map(|line| {
        let (verb, rest) = line
            .split_once(" sends \"")
            .map(|(_, rest)| ("send", rest))
            .or_else(|| line.split_once(" looks for \"").map(|(_, rest)| ("look", rest)))?;
        let (text, rest) = rest.split_once("\", attempt ")?;
        let attempt: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{verb} {text} {attempt}"))
    });
    deeds.collect()
}

/// How often the guest did this in this process.
fn times(host: &Host, deed: &str) -> usize {
    did(host).iter().filter(|done| *done == deed).count()
}

/// A daemon that died while the first of these texts was being sent, to a route that finds this; attempts from the second on
/// go well. Its connector has these lines when it comes back. Returns it with the run.
async fn interrupted(route: Value, texts: &[&str], lines: &str) -> (Host, String) {
    let mut host = with_finder("").start().await;
    let mut route = route;
    (route["answer"], route["well_from"]) = ("loop".into(), 2.into());
    // The texts behind it are for the same lane.
    let run = say(&host, "s", &[target(route)], texts).await;
    host.logs("attempt 1").await;
    host.kill();
    host.reconfigure(finder(lines));
    host.restart().await;
    (host, run)
}

async fn delivery(host: &Host, run: &str, index: usize) -> Value {
    host.run(run).await["deliveries"][index].clone()
}

async fn detail(host: &Host, delivery: &Value) -> Value {
    let id = delivery["delivery_id"].as_str().unwrap_or_default();
    host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json
}

/// The delivery once it has this status.
async fn when(host: &Host, run: &str, index: usize, status: &str) -> Value {
    eventually(&format!("delivery {index} is {status}"), async || {
        Some(delivery(host, run, index).await).filter(|one| one["status"] == status)
    })
    .await
}

/// The delivery once it is unknown and nobody asks any more.
async fn undecided(host: &Host, run: &str, index: usize) -> Value {
    eventually(&format!("delivery {index} stays unknown"), async || {
        let one = delivery(host, run, index).await;
        (one["status"] == "unknown" && one.get("next_look_up_at_ms").is_none()).then_some(one)
    })
    .await
}

/// The codes of what is recorded of a delivery's attempts and look-ups, each behind its outcome.
async fn recorded(host: &Host, delivery: &Value) -> Vec<String> {
    let shown = detail(host, delivery).await;
    let rows = shown["failed_attempts"].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| format!("{} {}", word(&row["outcome"]), word(&row["error"]["code"]))).collect()
}
