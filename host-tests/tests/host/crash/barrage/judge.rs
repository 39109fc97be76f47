//! Compares what was seen with what the daemon says.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use kheish_host_tests::{host::Host, receiver::Received};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Requests for details under way at once.
const AT_ONCE: usize = 8;

/// What follows when nobody knows whether a part arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Pass,
    Hold,
    Resend,
}

impl Policy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hold => "hold",
            Self::Resend => "resend",
        }
    }
}

/// One lane: a path, or the only lane of a connector.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    /// How the API names its target.
    pub(super) digest: String,
    pub(super) policy: Policy,
    /// The markers of the parts of each of its deliveries, in order.
    pub(super) expected: Vec<Vec<String>>,
}

impl Lane {
    pub(super) fn new(name: String, target: &Value, policy: Policy, expected: Vec<Vec<String>>) -> Self {
        let text = |member: &str| target[member].as_str().unwrap_or_default();
        let digest = hex::encode(&Sha256::digest(text("address"))[..8]);
        Self { name, digest: format!("{}:address_sha256:{digest}", text("plugin")), policy, expected }
    }

    pub(super) fn is_url(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// One arrival.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) lane: String,
    pub(super) marker: String,
}

/// What a text begins with.
pub(super) fn marker(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// What connectors sent, by the daemon's log.
pub(super) fn sights(log: &str) -> Vec<Sight> {
    let sight = |line: &str| {
        let (before, said) = line.split_once(" sends \"")?;
        let lane = before.rsplit(' ').next()?.to_owned();
        Some(Sight { lane, marker: marker(said).to_owned() })
    };
    log.lines().filter_map(sight).collect()
}

/// A delivery by the daemon's own account.
#[derive(Debug)]
struct Entry {
    id: String,
    status: String,
    /// For each part how often it was said to be unknown; empty when there was one attempt only.
    unknown: Vec<usize>,
    /// The status of each part; empty when there was one attempt only and it succeeded.
    parts: Vec<String>,
}

/// The daemon's own account, by target, in the order in which deliveries were made.
#[derive(Debug, Default)]
pub(super) struct Books(HashMap<String, Vec<Entry>>);

impl Books {
    pub(super) async fn read(host: &Host) -> Self {
        let (mut books, mut cursor) = (Self::default(), String::new());
        loop {
            let page = host.get(&format!("/v1/deliveries?limit=100&page=true{cursor}")).await.expect(200).json;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let entries = stream::iter(items).map(|item| entry(host, item)).buffered(AT_ONCE);
            for (digest, entry) in entries.collect::<Vec<_>>().await {
                books.0.entry(digest).or_default().push(entry);
            }
            match page["pagination"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return books,
            }
        }
    }
}

async fn entry(host: &Host, item: Value) -> (String, Entry) {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let mut entry = Entry { id: text("delivery_id"), status: text("status"), unknown: Vec::new(), parts: Vec::new() };
    if item["attempts"] != 1 || entry.status != "delivered" {
        let shown = host.get(&format!("/v1/deliveries/{}", entry.id)).await.expect(200).json;
        let empty = Vec::new();
        for part in shown["parts"].as_array().unwrap_or(&empty) {
            let attempts = shown["failed_attempts"].as_array().unwrap_or(&empty).iter();
            let unknown = attempts.filter(|one| one["part"] == part["part"] && one["outcome"] == "unknown");
            entry.unknown.push(unknown.count());
            entry.parts.push(part["status"].as_str().unwrap_or_default().to_owned());
        }
    }
    (text("target"), entry)
}

/// Fails when something is missing, out of order, or there twice without having been said to be unknown.
pub(super) fn judge(lanes: &[Lane], received: &[Received], sent: &[Sight], books: &Books) {
    let mut seen: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut keys: HashMap<(&str, &str), &str> = HashMap::new();
    for request in received {
        let marker = marker(request.content());
        seen.entry(request.path.as_str()).or_default().push(marker);
        let first = keys.entry((request.path.as_str(), marker)).or_insert(request.key());
        assert_eq!(*first, request.key(), "{marker} at {} came under two keys", request.path);
    }
    for sight in sent {
        seen.entry(sight.lane.as_str()).or_default().push(sight.marker.as_str());
    }
    let mut again = 0;
    for lane in lanes {
        let seen = seen.remove(lane.name.as_str()).unwrap_or_default();
        let entries = books.0.get(&lane.digest).map(Vec::as_slice).unwrap_or_default();
        again += check_lane(lane, &seen, entries);
        for (entry, parts) in entries.iter().zip(&lane.expected).filter(|_| lane.is_url()) {
            let key = keys.get(&(lane.name.as_str(), parts[0].as_str()));
            assert_eq!(key, Some(&format!("kheish:{}", entry.id).as_str()), "the key of {} at {}", parts[0], lane.name);
        }
    }
    assert!(seen.is_empty(), "arrived where nothing is to arrive: {:?}", seen.keys());
    println!("{again} parts were sent again, each after it was said to be unknown");
}

/// How many arrivals there were beyond the first of each part.
fn check_lane(lane: &Lane, seen: &[&str], entries: &[Entry]) -> usize {
    let name = &lane.name;
    assert_eq!(entries.len(), lane.expected.len(), "deliveries of {name} by the daemon's account");
    let mut left = seen.iter().peekable();
    let mut again = 0;
    for (entry, parts) in entries.iter().zip(&lane.expected) {
        for (number, part) in parts.iter().enumerate() {
            // One lane's repeats follow at once, so that a part at any other place is out of order.
            let times = std::iter::from_fn(|| left.next_if(|next| *next == part)).count();
            let unknown = entry.unknown.get(number).copied().unwrap_or_default();
            let status = entry.parts.get(number).map_or("delivered", String::as_str);
            let what =
                format!("{part} in {name}, {} by {}: seen {times} times, {entry:?}", entry.status, lane.policy.name());
            match lane.policy {
                Policy::Resend => {
                    assert_eq!(status, "delivered", "not ended: {what}");
                    assert!(times >= 1, "missing or out of order: {what}");
                }
                Policy::Hold => assert_eq!((times, status), (1, "delivered"), "missing, twice or out of order: {what}"),
                Policy::Pass if status == "delivered" => assert_eq!(times, 1, "missing, twice or out of order: {what}"),
                Policy::Pass => assert!(status == "unknown" && unknown == 1 && times <= 1, "repeated or lost: {what}"),
            }
            assert!(times <= 1 + unknown, "twice without having been unknown: {what}");
            again += times.saturating_sub(1);
        }
    }
    assert_eq!(left.next(), None, "out of order or never said: the rest of {name}");
    again
}
