//! Deliveries over HTTP to a receiver on the same machine: how many per second, how soon, what many that wait cost, and what
//! a dead target costs the others.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    connection::Connection,
    daemon::{Daemon, Memory, Place},
    figures::{Latency, median},
    report::Settings,
    request, say,
    sink::{DEAD, Sink},
};

/// Lanes that deliveries are spread over.
const LANES: usize = 1_000;

/// Reply targets of a run where latency is measured: as many as its session's targets may be.
const TARGETS: usize = 16;

/// Sessions that these runs are spread over.
const SESSIONS: usize = 64;

/// How long a daemon rests before its memory is looked at.
const REST: Duration = Duration::from_secs(3);

/// The pause between looks at what has arrived.
const PAUSE: Duration = Duration::from_millis(2);

/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Deliveries {
    /// Delivered per second and settled on disk, median of the rounds.
    pub(crate) per_second: f64,
    /// The same beside a target that never answers, against without it: the median of the rounds' ratios.
    pub(crate) share_beside_dead: f64,
    /// Deliveries per second while latency was measured.
    pub(crate) half_per_second: f64,
    /// From the transaction that ends a run to the delivery's arrival.
    pub(crate) latency: Latency,
    /// With many deliveries that wait.
    pub(crate) memory_pending: Memory,
    /// With a tenth of them, which fill the database's caches as well.
    pub(crate) memory_tenth: Memory,
    /// The same daemon on an empty store.
    pub(crate) memory_idle: Memory,
    each_per_second: Vec<f64>,
    beside_dead_per_second: Vec<f64>,
}

/// Measures all of it.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Deliveries> {
    let [mut alone, mut beside] = [Vec::new(), Vec::new()];
    for number in 1..=settings.rounds {
        say(&format!("deliveries, round {number} of {}", settings.rounds));
        alone.push(drain(place, settings.deliveries, &format!("deliveries-{number}"), false).await?);
        beside.push(drain(place, settings.deliveries, &format!("deliveries-dead-{number}"), true).await?);
    }
    let per_second = median(alone.iter().copied())?;
    let shares: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
    let half_per_second = per_second / 2.0;
    say(&format!("latency at {half_per_second:.0} deliveries per second"));
    let latency = latency(place, settings, half_per_second).await?;
    say(&format!("{} deliveries that wait", settings.pending));
    Ok(Deliveries {
        per_second,
        share_beside_dead: median(shares)?,
        half_per_second,
        latency,
        memory_tenth: pending(place, settings.pending / 10, "deliveries-tenth").await?,
        memory_pending: pending(place, settings.pending, "deliveries-pending").await?,
        memory_idle: memory(place, "deliveries-idle").await?,
        each_per_second: alone,
        beside_dead_per_second: beside,
    })
}

/// Sends what waits in a store, and waits until the daemon says that all of it is delivered; per second, from the first
/// arrival on.
async fn drain(place: &Place, count: u64, state: &str, dead: bool) -> Result<f64> {
    let sink = Sink::start().await?;
    fill(place, state, count, LANES, &format!("{}/lane", sink.url()))?;
    if dead {
        fill(place, state, 1_000, 1, &format!("{}{DEAD}", sink.url()))?;
    }
    // What is delivered is to be counted now, however long that takes.
    let daemon = place.start_set(state, "[store]\ncount_age_ms = 0\n").await?;
    let mut seen = (0, Instant::now());
    while sink.taken() < count {
        tokio::time::sleep(PAUSE).await;
        if sink.taken() > seen.0 {
            seen = (sink.taken(), Instant::now());
        }
        ensure!(seen.1.elapsed() < PATIENCE, "{} of {count} deliveries arrived", seen.0);
    }
    let settled = Instant::now();
    while delivered(&daemon).await? < count {
        ensure!(settled.elapsed() < PATIENCE, "not all deliveries are settled");
        tokio::time::sleep(PAUSE).await;
    }
    let took = sink.span() + settled.elapsed();
    ensure!(sink.taken() == count, "{} deliveries arrived, expected {count}", sink.taken());
    drop(daemon);
    Ok(count as f64 / took.as_secs_f64())
}

fn fill(place: &Place, state: &str, deliveries: u64, lanes: usize, url: &str) -> Result<()> {
    place.run(|command| {
        command.args(["prefill", "--deliveries", &deliveries.to_string(), "--lanes", &lanes.to_string()]);
        command.args(["--url", url, "--state-root"]).arg(place.state(state));
    })?;
    Ok(())
}

async fn delivered(daemon: &Daemon) -> Result<u64> {
    let (_, status) = daemon.get("/v1/status").await?;
    let status: Value = serde_json::from_str(&status)?;
    status["deliveries"]["delivered"].as_u64().context("the daemon says how many deliveries were taken")
}

/// Runs end at fixed times, each with a delivery to some of the lanes.
async fn latency(place: &Place, settings: &Settings, per_second: f64) -> Result<Latency> {
    let sink = Sink::start().await?;
    let daemon = place.start_with("deliveries-latency", "echo").await?;
    let mut callers = Vec::new();
    for number in 0..SESSIONS {
        let mut caller = Caller::to(&daemon).await?;
        caller.post("/v1/sessions", &json!({ "session_id": format!("bench-{number}") }), 201).await?;
        callers.push(caller);
    }
    let length = settings.length();
    let every = Duration::from_secs_f64(TARGETS as f64 / per_second);
    let mut ticks = tokio::time::interval(every);
    let started = Instant::now();
    let mut warm = false;
    let mut submissions = JoinSet::new();
    for number in 0_usize.. {
        ticks.tick().await;
        if !warm && started.elapsed() >= length.warm_up {
            warm = true;
            sink.since_finish();
        }
        if started.elapsed() >= length.warm_up + length.counted {
            break;
        }
        let mut caller = match callers.pop() {
            Some(caller) => caller,
            None => submissions.join_next().await.context("a caller is under way")???,
        };
        let body = run(&sink, number);
        submissions.spawn(async move {
            caller.post(&format!("/v1/sessions/bench-{}/runs", number % SESSIONS), &body, 202).await?;
            Ok::<Caller, anyhow::Error>(caller)
        });
        while let Some(done) = submissions.try_join_next() {
            callers.push(done??);
        }
    }
    let latencies = sink.since_finish();
    daemon.stop().await?;
    latencies.summary()
}

fn run(sink: &Sink, number: usize) -> Value {
    let lanes = (0..TARGETS).map(|target| (number * TARGETS + target) % LANES);
    let address = |lane: usize| json!({ "url": format!("{}/lane/{lane}", sink.url()), "allow_private_network": true });
    let targets: Vec<Value> =
        lanes.map(|lane| json!({ "plugin": "http", "address": address(lane).to_string() })).collect();
    json!({ "content": "Order 123 has arrived with sixteen items.", "reply_targets": targets })
}

/// A caller of the API, on one connection.
struct Caller {
    connection: Connection,
    host: Arc<str>,
}

impl Caller {
    async fn to(daemon: &Daemon) -> Result<Self> {
        let stream = TcpStream::connect(daemon.address()).await.context("connecting to the daemon")?;
        Ok(Self { connection: Connection::new(stream)?, host: daemon.address().into() })
    }

    async fn post(&mut self, path: &str, body: &Value, expected: u16) -> Result<()> {
        let request = request::post(path, &self.host, &body.to_string());
        let (status, body) = self.connection.exchange(request.as_bytes()).await?;
        ensure!(status == expected, "POST {path} was answered with {status}: {body}");
        Ok(())
    }
}

/// Memory while many deliveries wait for targets that never answer.
async fn pending(place: &Place, count: u64, state: &str) -> Result<Memory> {
    let sink = Sink::start().await?;
    fill(place, state, count, LANES, &format!("{}{DEAD}", sink.url()))?;
    memory(place, state).await
}

async fn memory(place: &Place, state: &str) -> Result<Memory> {
    // A start that compiled leaves something behind.
    let daemon = place.start(state).await?;
    tokio::time::sleep(REST).await;
    daemon.memory()
}
