//! A daemon with many connectors that were made through its API: what they cost, and how soon a change of one shows.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    connection::Connection,
    daemon::{Daemon, Memory, Place},
    figures::{Latencies, Latency, median},
    report::Settings,
    request::{self, Credentials, Event, Names},
    say,
};

/// The list of all connectors.
const LIST: &str = "/v1/runtime/connectors";

/// The state folder of this section.
const STATE: &str = "connectors";

/// How often the list and the metrics are read.
const READS: usize = 20;

/// How many changes are timed, each of another connector where there are so many.
const CHANGES: u64 = 50;

/// How long a change may take to show. One that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a daemon rests before its memory is looked at.
const REST: Duration = Duration::from_secs(1);

/// Many connectors in one daemon.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Connectors {
    /// Making all of them, one after the other, each durable before the next.
    pub(crate) made_s: f64,
    /// One of these requests.
    pub(crate) put: Latency,
    /// With all of them made, nothing sent to them yet.
    pub(crate) memory_made: Memory,
    /// After a start with all of them.
    pub(crate) memory_started: Memory,
    /// The whole list.
    pub(crate) list: Latency,
    /// Its size.
    pub(crate) list_bytes: usize,
    /// A new token: from sending it to the daemon until it is taken and the former one refused, all requests included.
    pub(crate) change: Latency,
    /// The part of that after the daemon has answered that the token is changed.
    pub(crate) change_after_answer: Latency,
    /// What Prometheus reads.
    pub(crate) metrics: Latency,
    /// From spawn to ready with compiled code cached, median.
    pub(crate) start_ms: f64,
    start_each_ms: Vec<f64>,
}

/// Makes connectors, reads and changes them, and starts anew with them.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Connectors> {
    say(&format!("making {} connectors", settings.connectors));
    // Memory is looked at later: what compiling leaves behind does not belong to connectors.
    place.start(STATE).await?.stop().await?;
    let daemon = place.start(STATE).await?;
    let mut client = Client::to(&daemon).await?;
    let started = Instant::now();
    let put = client.make(0..settings.connectors).await?;
    let made_s = started.elapsed().as_secs_f64();
    tokio::time::sleep(REST).await;
    let memory_made = daemon.memory()?;
    let list_bytes = client.count(settings.connectors).await?;
    say("the list, metrics, and changes of connectors");
    let list = client.read(LIST).await?;
    let metrics = client.read("/metrics").await?;
    let (change, change_after_answer) = client.change(settings.connectors).await?;
    daemon.stop().await?;
    let (start_each_ms, memory_started) = starts(place, settings).await?;
    let start_ms = median(start_each_ms.iter().copied())?;
    Ok(Connectors {
        made_s,
        put,
        memory_made,
        memory_started,
        list,
        list_bytes,
        change,
        change_after_answer,
        metrics,
        start_ms,
        start_each_ms,
    })
}

/// Starts with all connectors, and memory after the last of them.
async fn starts(place: &Place, settings: &Settings) -> Result<(Vec<f64>, Memory)> {
    say(&format!("starts with {} connectors", settings.connectors));
    let mut each_ms = Vec::new();
    loop {
        let spawned = Instant::now();
        let daemon = place.start(STATE).await?;
        each_ms.push(spawned.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(REST).await;
        let memory = daemon.memory()?;
        Client::to(&daemon).await?.count(settings.connectors).await?;
        daemon.stop().await?;
        if each_ms.len() >= settings.starts {
            return Ok((each_ms, memory));
        }
    }
}

/// An operator and a caller on one connection.
struct Client {
    connection: Connection,
    host: String,
}

impl Client {
    async fn to(daemon: &Daemon) -> Result<Self> {
        let stream = TcpStream::connect(daemon.address()).await.context("connecting to the daemon")?;
        Ok(Self { connection: Connection::new(stream)?, host: daemon.address().to_owned() })
    }

    /// Makes connectors; how long each took.
    async fn make(&mut self, numbers: Range<u64>) -> Result<Latency> {
        let mut latencies = Latencies::default();
        for number in numbers {
            let Credentials { token, secret } = credentials(number, 0);
            let fields = json!({
                "bearer_token": { "value": token }, "hmac_secret": { "value": secret },
                "session_policy": { "create_if_missing": true },
            });
            latencies.add(self.put(number, &fields, 201).await?);
        }
        latencies.summary()
    }

    async fn put(&mut self, number: u64, fields: &Value, expected: u16) -> Result<Duration> {
        let path = format!("{LIST}/http/{}", name(number));
        let request = request::put(&path, &self.host, &fields.to_string());
        let started = Instant::now();
        let (status, body) = self.connection.exchange(request.as_bytes()).await?;
        let took = started.elapsed();
        ensure!(status == expected, "PUT {path} was answered with {status}: {body}");
        Ok(took)
    }

    /// Makes sure that all connectors of the API are listed and serve; the list's size in bytes.
    async fn count(&mut self, expected: u64) -> Result<usize> {
        let (_, body) = self.connection.exchange(request::get(LIST, &self.host).as_bytes()).await?;
        let list: Vec<Value> = serde_json::from_str(&body)?;
        let serving = list.iter().filter(|one| one["source"] == "daemon" && one["status"]["state"] == "running");
        let serving = serving.count() as u64;
        ensure!(serving == expected, "{serving} connectors serve that the API made, expected {expected}");
        Ok(body.len())
    }

    async fn read(&mut self, path: &str) -> Result<Latency> {
        let request = request::get(path, &self.host);
        let mut latencies = Latencies::default();
        for _ in 0..READS {
            let started = Instant::now();
            self.connection.accept(request.as_bytes()).await?;
            latencies.add(started.elapsed());
        }
        latencies.summary()
    }

    /// Gives connectors new tokens: how long each took to show, and the part of that after the daemon's answer.
    async fn change(&mut self, connectors: u64) -> Result<(Latency, Latency)> {
        let [mut all, mut after_answer] = [Latencies::default(), Latencies::default()];
        for change in 0..CHANGES {
            let number = change * (connectors / CHANGES).max(1) % connectors;
            let version = change / connectors;
            let (former, new) = (credentials(number, version), credentials(number, version + 1));
            let started = Instant::now();
            self.put(number, &json!({ "bearer_token": { "value": new.token } }), 200).await?;
            let answered = Instant::now();
            self.until(number, &new, 200).await?;
            self.until(number, &former, 401).await?;
            all.add(started.elapsed());
            after_answer.add(answered.elapsed());
        }
        Ok((all.summary()?, after_answer.summary()?))
    }

    /// Sends events, one after the other without a pause, until one is answered so.
    async fn until(&mut self, number: u64, credentials: &Credentials, expected: u16) -> Result<()> {
        let target = format!("/v1/connectors/http/{}", name(number));
        let mut event = Event::with(credentials.clone(), &target, &self.host, Names::Conversation);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.connection.exchange(event.numbered(number)).await?;
            if status == expected {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "a change of `{target}` does not show: {status} {body}");
        }
    }
}

fn name(number: u64) -> String {
    format!("bench-{number:05}")
}

/// Credentials of a connector's own. They differ from the beginning on, as those of real connectors do.
fn credentials(number: u64, version: u64) -> Credentials {
    Credentials {
        token: format!("t{number:05}-{version:03}-token-of-a-usual-length"),
        secret: format!("s{number:05}-secret-of-a-usual-length"),
    }
}
