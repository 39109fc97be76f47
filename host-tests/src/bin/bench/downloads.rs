//! How soon Slack's events are acknowledged while files of earlier ones are fetched.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kheish_host_tests::{
    sign::{hmac_hex, now_secs},
    slack::{App, SIGNING_SECRET, TOKEN, WebApi},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Runtime, task::JoinSet};

use crate::{
    connection::Connection,
    daemon::{Daemon, Place},
    figures::{Latencies, Latency},
    load::Length,
    report::Settings,
    request, say,
};

/// Files that are fetched at once.
const AT_ONCE: usize = 10;

/// Size of a file, in bytes.
const FILE_BYTES: usize = 10 * 1024 * 1024;

/// Files of one message, and messages with files: more than can be fetched while events are sent.
const FILES: usize = 25;
const MESSAGES: usize = 80;

/// Events are sent at fixed times, so many per second: far more than Slack sends to one app.
const PER_SECOND: u32 = 200;

/// Connections that they come by.
const CONNECTIONS: usize = 16;

/// The connector, and its path for whoever manages it.
const TARGET: &str = "/v1/connectors/slack/bench";
const RUNTIME: &str = "/v1/runtime/connectors/slack/bench";

/// The pause between looks at what was asked for.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the first files may take to be asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Downloads {
    /// From the time at which an event was to be sent to its acknowledgement, nothing else going on.
    pub(crate) alone: Latency,
    /// The same while files are fetched, [`AT_ONCE`] at any time.
    pub(crate) beside: Latency,
    /// Files that were fetched per second meanwhile.
    pub(crate) files_per_second: f64,
    /// Events per second.
    pub(crate) events_per_second: u32,
    /// Size of a file.
    pub(crate) file_bytes: usize,
    /// Files that are fetched at once.
    pub(crate) at_once: usize,
}

/// Measures it.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Downloads> {
    say("Slack's events, alone and beside files that are fetched");
    let double = Double::start().await?;
    let more = format!("[guests]\nconcurrent_downloads = {AT_ONCE}\ndownloads_per_connector = {AT_ONCE}\n");
    let daemon = place.start_set("downloads", &more).await?;
    let mut slack = Slack::to(&daemon).await?;
    slack.connect(&double.api).await?;
    let alone = acknowledge(&daemon, settings.length()).await?;
    let file = double.api.keep("large.bin", "application/octet-stream", vec![7; FILE_BYTES]);
    for message in 0..MESSAGES {
        slack.send(&ts("1500000000", message), &json!({"subtype": "file_share", "files": vec![&file; FILES]})).await?;
    }
    let begun = Instant::now();
    while double.asked() < AT_ONCE {
        ensure!(begun.elapsed() < PATIENCE, "no files are fetched");
        tokio::time::sleep(PAUSE).await;
    }
    let (from, before) = (Instant::now(), double.asked());
    let beside = acknowledge(&daemon, settings.length()).await?;
    let fetched = double.asked() - before;
    ensure!(double.asked() < FILES * MESSAGES, "the files came to an end before the events");
    let files_per_second = fetched as f64 / from.elapsed().as_secs_f64();
    daemon.stop().await?;
    let (events_per_second, file_bytes, at_once) = (PER_SECOND, FILE_BYTES, AT_ONCE);
    Ok(Downloads { alone, beside, files_per_second, events_per_second, file_bytes, at_once })
}

/// Sends events at fixed times, each by a connection that is free; waiting for one is part of the latency.
async fn acknowledge(daemon: &Daemon, length: Length) -> Result<Latency> {
    let mut free = Vec::new();
    for _ in 0..CONNECTIONS {
        free.push(Slack::to(daemon).await?);
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let (started, second) = (Instant::now(), now_secs().to_string());
    let mut under_way = JoinSet::new();
    let mut latencies = Latencies::default();
    for number in 0_usize.. {
        let due = ticks.tick().await.into_std();
        if due >= started + length.warm_up + length.counted {
            break;
        }
        while let Some(done) = under_way.try_join_next() {
            free.push(note(done?, started + length.warm_up, &mut latencies)?);
        }
        let mut slack = match free.pop() {
            Some(slack) => slack,
            None => {
                let done = under_way.join_next().await.context("a connection is under way")?;
                note(done?, started + length.warm_up, &mut latencies)?
            }
        };
        let ts = ts(&second, number);
        under_way.spawn(async move {
            slack.send(&ts, &Value::Null).await?;
            Ok((slack, due, Instant::now()))
        });
    }
    while let Some(done) = under_way.join_next().await {
        note(done?, started + length.warm_up, &mut latencies)?;
    }
    latencies.summary()
}

/// Counts an event, unless it was due before `from`; gives its connection back.
fn note(done: Result<(Slack, Instant, Instant)>, from: Instant, latencies: &mut Latencies) -> Result<Slack> {
    let (slack, due, ended) = done?;
    if due >= from {
        latencies.add(ended - due);
    }
    Ok(slack)
}

fn ts(second: &str, number: usize) -> String {
    format!("{second}.{number:06}")
}

/// Slack on one connection.
struct Slack {
    connection: Connection,
    host: String,
}

impl Slack {
    async fn to(daemon: &Daemon) -> Result<Self> {
        let stream = TcpStream::connect(daemon.address()).await.context("connecting to the daemon")?;
        Ok(Self { connection: Connection::new(stream)?, host: daemon.address().to_owned() })
    }

    /// Makes the connector.
    async fn connect(&mut self, api: &WebApi) -> Result<()> {
        let fields = json!({
            "bot_token": { "value": TOKEN }, "signing_secret": { "value": SIGNING_SECRET }, "api_base_url": api.url(),
            "allow_private_network": true, "ingress_events_per_second": 100_000,
            "session_policy": { "create_if_missing": true },
        });
        let request = request::put(RUNTIME, &self.host, &fields.to_string());
        let (status, body) = self.connection.exchange(request.as_bytes()).await?;
        ensure!(status == 201, "PUT {RUNTIME} was answered with {status}: {body}");
        Ok(())
    }

    /// Sends a message with these members, signed now, and waits for its acknowledgement.
    async fn send(&mut self, ts: &str, members: &Value) -> Result<()> {
        let (body, at, host) = (App::message(ts, members).to_string(), now_secs(), &self.host);
        let signature = hmac_hex(SIGNING_SECRET, format!("v0:{at}:{body}").as_bytes());
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nx-slack-request-timestamp: {at}\r\n\
             x-slack-signature: v0={signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.connection.accept([head, body].concat().as_bytes()).await
    }
}

/// The double of Slack, on a thread of its own: whoever serves files is busy when an answer comes.
struct Double {
    api: WebApi,
    runtime: Option<Runtime>,
}

impl Double {
    async fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let api = runtime.spawn(WebApi::start()).await?;
        Ok(Self { api, runtime: Some(runtime) })
    }

    /// How often a file was asked for.
    fn asked(&self) -> usize {
        self.api.calls().iter().filter(|call| call.method.starts_with("/files/")).count()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
