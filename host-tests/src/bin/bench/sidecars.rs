//! Events of sidecars that are made durable per second: one by one, and in batches.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    connection::Connection,
    daemon::{Daemon, Place, TOKEN},
    figures::median,
    load::Length,
    report::Settings,
    request::SESSIONS,
    say,
};

/// The state folder of this section.
const STATE: &str = "sidecars";

/// Events of a batch.
const BATCH: usize = 64;

/// Where the first event's id and conversation stand.
const ID: &str = "event-000000000000";
const ROOM: &str = "room-000";

/// How events are sent.
#[derive(Clone, Copy)]
struct Way {
    path: &'static str,
    /// Events of one request.
    events: usize,
    connections: usize,
}

const SINGLE: Way = Way { path: "/v1/connectors/external/bench/events", events: 1, connections: 64 };

/// Fewer connections: more events would wait than the store's queue takes. But enough for some to be on their way while the
/// others are committed.
const BATCHED: Way = Way { path: "/v1/connectors/external/bench/events/batch", events: BATCH, connections: 48 };

/// Events per second.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Sidecars {
    /// A request each, median of the rounds.
    pub(crate) single_per_second: f64,
    /// In batches of 64.
    pub(crate) batched_per_second: f64,
    single: Vec<f64>,
    batched: Vec<f64>,
}

/// Rounds of both ways take turns on one daemon.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Sidecars> {
    let daemon = place.start(STATE).await?;
    let [mut single, mut batched] = [Vec::new(), Vec::new()];
    for number in 0..settings.rounds as u64 {
        say(&format!("events of sidecars, round {} of {}", number + 1, settings.rounds));
        single.push(round(&daemon, SINGLE, settings.length(), 2 * number).await?);
        batched.push(round(&daemon, BATCHED, settings.length(), 2 * number + 1).await?);
    }
    daemon.stop().await?;
    let (single_per_second, batched_per_second) = (median(single.iter().copied())?, median(batched.iter().copied())?);
    Ok(Sidecars { single_per_second, batched_per_second, single, batched })
}

/// Each connection sends its next request when its last one was answered. Ids of events begin with the round's number.
async fn round(daemon: &Daemon, way: Way, length: Length, number: u64) -> Result<f64> {
    let from = Instant::now() + length.warm_up;
    let until = from + length.counted;
    let mut senders = JoinSet::new();
    for connection in 0..way.connections as u64 {
        let stream = TcpStream::connect(daemon.address()).await.context("connecting to the daemon")?;
        let request = Request::new(way, daemon.address());
        let first = number * 10_000_000_000 + connection * 100_000_000;
        senders.spawn(send(Connection::new(stream)?, request, first, (from, until)));
    }
    let mut events = 0;
    while let Some(sent) = senders.join_next().await {
        events += sent??;
    }
    Ok(events as f64 / length.counted.as_secs_f64())
}

async fn send(
    mut connection: Connection,
    mut request: Request,
    first: u64,
    (from, until): (Instant, Instant),
) -> Result<u64> {
    let (mut number, mut counted, each) = (first, 0, request.places.len() as u64);
    while Instant::now() < until {
        let (status, answer) = connection.exchange(request.numbered(number)).await?;
        let accepted = answer.matches("\"accepted\"").count() as u64;
        ensure!(status == 200 && accepted == each, "the daemon answered {status}: {answer}");
        number += each;
        let now = Instant::now();
        counted += if from <= now && now < until { each } else { 0 };
    }
    Ok(counted)
}

/// A request that can be made anew in place.
struct Request {
    bytes: Vec<u8>,
    /// Where id and conversation of each event stand.
    places: Vec<(usize, usize)>,
}

impl Request {
    fn new(way: Way, host: &str) -> Self {
        let event = json!({
            "instance_id": "bench-1", "event_id": ID, "actor_id": "user-4711", "thread": { "path": ["guild", ROOM] },
            "occurred_at_ms": 1_700_000_000_000_u64, "content": "Somebody says something of about this length.",
            "metadata": { "author": "somebody", "channel": "general" },
        });
        let body = match way.events {
            1 => event.to_string(),
            many => json!({ "protocol_version": 2, "events": vec![Value::clone(&event); many] }).to_string(),
        };
        let text = format!(
            "POST {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            way.path,
            body.len()
        );
        let ids = text.match_indices(ID).map(|(at, _)| at);
        let places = ids.zip(text.match_indices(ROOM).map(|(at, _)| at)).collect();
        Self { bytes: text.into_bytes(), places }
    }

    /// The request for the events from `number` on.
    fn numbered(&mut self, number: u64) -> &[u8] {
        for (number, (id, room)) in (number..).zip(&self.places) {
            for (at, text) in [(*id, format!("event-{number:012}")), (*room, format!("room-{:03}", number % SESSIONS))]
            {
                self.bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_made_anew_in_place() {
        for way in [SINGLE, BATCHED] {
            let mut request = Request::new(way, "127.0.0.1:1");
            assert_eq!(request.places.len(), way.events);
            let text = String::from_utf8(request.numbered(123_456_789_012).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())));
            let body: Value = serde_json::from_str(body).unwrap();
            let events = body.get("events").map_or_else(|| vec![body.clone()], |all| all.as_array().unwrap().clone());
            let last = &events[way.events - 1];
            let number = 123_456_789_011 + way.events as u64;
            assert_eq!(last["event_id"], format!("event-{number:012}"));
            assert_eq!(last["thread"]["path"][1], format!("room-{:03}", number % SESSIONS));
        }
    }
}
