//! Many connectors that operators made: memory when idle, how long a list takes, and how soon a change shows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kheish_host_tests::{
    client::Client,
    sender::{Sender, event},
};
use serde_json::{Value, json};

use crate::{
    daemon::Place,
    figures::{Latencies, Latency},
    report::Settings,
    say,
};

/// How long the daemon is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(3);

/// Looks at a list.
const LOOKS: usize = 20;

/// Changes that are followed by a request at once.
const CHANGES: usize = 50;

/// What was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Connectors {
    /// How many there are.
    pub(crate) count: usize,
    /// Making all of them, one after the other.
    pub(crate) made_ms: f64,
    /// Resident memory afterwards, idle.
    pub(crate) idle_mib: f64,
    /// The whole list.
    pub(crate) list: Latency,
    /// From sending a new token to the answer of the next event, which shows it.
    pub(crate) change: Latency,
    /// Spawn to ready, with all of them in the store.
    pub(crate) start_ms: f64,
}

/// Makes connectors, each with two secrets of its own, and changes one of them.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Connectors> {
    say(&format!("{} connectors", settings.connectors));
    let daemon = place.start("connectors").await?;
    let client = Client::new(&format!("http://{}", daemon.address()));
    let began = Instant::now();
    for number in 0..settings.connectors {
        let fields = json!({
            "bearer_token": { "value": format!("token-of-{number}") },
            "hmac_secret": { "value": format!("key-of-{number}") },
            "session_policy": { "create_if_missing": true },
        });
        put(&client, number, &fields, 201).await?;
    }
    let made_ms = began.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(REST).await;
    let idle_mib = daemon.memory()?.resident_mib;
    let list = timed(LOOKS, async |_| {
        let answer = client.get("/v1/runtime/connectors").await;
        ensure!(answer.items().len() > settings.connectors, "the list is not whole");
        Ok(())
    })
    .await?;
    let change = timed(CHANGES, async |round| {
        let token = format!("new-token-{round}");
        put(&client, 0, &json!({ "bearer_token": { "value": token }, "hmac_secret": {} }), 200).await?;
        let sender = Sender::new(&client, "http", "c0").bearer(&token);
        let answer = sender.post(&event(&token, "room", "hello")).await;
        ensure!(answer.status == 200, "a new token does not count yet: {}", answer.json);
        Ok(())
    })
    .await?;
    daemon.stop().await?;
    let spawned = Instant::now();
    let daemon = place.start("connectors").await?;
    let start_ms = spawned.elapsed().as_secs_f64() * 1e3;
    daemon.stop().await?;
    Ok(Connectors { count: settings.connectors, made_ms, idle_mib, list, change, start_ms })
}

async fn put(client: &Client, number: usize, fields: &Value, expected: u16) -> Result<()> {
    let answer = client.put(&format!("/v1/runtime/connectors/http/c{number}"), fields).await;
    ensure!(answer.status == expected, "a connector was not taken: {}", answer.json);
    Ok(())
}

async fn timed(times: usize, act: impl AsyncFn(usize) -> Result<()>) -> Result<Latency> {
    let mut latencies = Latencies::default();
    for round in 0..times {
        let began = Instant::now();
        act(round).await?;
        latencies.add(began.elapsed());
    }
    latencies.summary()
}
