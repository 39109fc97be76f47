//! Ten thousand deliveries, and a daemon that is killed at any moment while it sends them. What the receivers saw is the
//! judge: nothing missing, nothing out of order, and nothing twice but what the daemon itself had said to be unknown.

mod judge;

use std::time::Duration;

use kheish_host_tests::{
    connectors::{outbox, outbox_target},
    host::{Host, OUTBOX},
    receiver::Receiver,
    wait::within,
    worker::Claimed,
};
use serde_json::{Value, json};

use super::moments::Moments;
use judge::{Books, Lane, Policy, Sight, judge, sights};

const KILLS: usize = 20;
const RUNS: usize = 44;
const OUTPUTS: usize = 20;
/// Parts that an output has in the fixture, which takes 80 characters at once.
const PARTS: usize = 3;
const URLS: usize = 30;
const URLS_OF_A_RUN: usize = 10;
const CONNECTORS: usize = 12;
const CONNECTORS_OF_A_RUN: usize = 2;
/// Everything that is sent, if each part is sent once.
const ALL: usize = RUNS * OUTPUTS * (URLS_OF_A_RUN + CONNECTORS_OF_A_RUN * PARTS);

/// Set to repeat the moments of a run that failed.
const SEED: &str = "BARRAGE_SEED";

/// When the daemon is killed: at so many arrivals, in order.
fn kills() -> Vec<usize> {
    let mut moments = Moments::seeded(SEED);
    let mut kills: Vec<usize> = (0..KILLS).map(|_| moments.up_to(ALL * 9 / 10)).collect();
    kills.sort_unstable();
    kills
}

fn marker(run: usize, output: usize, part: usize) -> String {
    format!("{run}.{output}.{part}")
}

/// One paragraph for each part.
fn content(run: usize, output: usize) -> String {
    let paragraph = |part| format!("{} {}", marker(run, output, part), "x".repeat(55));
    (0..PARTS).map(paragraph).collect::<Vec<_>>().join("\n\n")
}

fn urls_of(run: usize) -> impl Iterator<Item = usize> {
    (0..URLS_OF_A_RUN).map(move |n| (run * URLS_OF_A_RUN + n) % URLS)
}

fn connectors_of(run: usize) -> impl Iterator<Item = usize> {
    (0..CONNECTORS_OF_A_RUN).map(move |n| (run * CONNECTORS_OF_A_RUN + n) % CONNECTORS)
}

/// Every lane, with what is to arrive there.
fn lanes(receiver: &Receiver) -> Vec<Lane> {
    let outputs = |whole: bool, goes: &dyn Fn(usize) -> bool| {
        let runs = (0..RUNS).filter(|run| goes(*run));
        let parts = if whole { 1 } else { PARTS };
        let texts = |run, output| (0..parts).map(|part| marker(run, output, part)).collect();
        runs.flat_map(|run| (0..OUTPUTS).map(move |output| texts(run, output))).collect()
    };
    let urls = (0..URLS).map(|n| {
        let (name, expected) = (format!("/u{n}"), outputs(true, &|run| urls_of(run).any(|url| url == n)));
        Lane::new(name.clone(), &receiver.target_json(&name), Policy::Resend, expected)
    });
    let connectors = (0..CONNECTORS).map(|n| {
        let (name, expected) = (format!("c{n}"), outputs(false, &|run| connectors_of(run).any(|one| one == n)));
        let policy = [Policy::Pass, Policy::Hold, Policy::Resend][n % 3];
        Lane::new(name.clone(), &outbox_target(&name, &json!({ "answer": "ok" })), policy, expected)
    });
    urls.chain(connectors).collect()
}

/// Ends the runs one after the other; what had no answer is asked for again.
struct Speaker {
    claimed: Vec<Claimed>,
    next: usize,
}

impl Speaker {
    async fn with_runs(host: &Host, receiver: &Receiver) -> Self {
        for run in 0..RUNS {
            let urls = urls_of(run).map(|n| receiver.target_json(&format!("/u{n}")));
            let connectors = connectors_of(run).map(|n| outbox_target(&format!("c{n}"), &json!({ "answer": "ok" })));
            let targets: Vec<Value> = urls.chain(connectors).collect();
            let session = format!("s{run}");
            host.make_session(&session).await;
            let body = json!({ "content": run.to_string(), "reply_targets": targets });
            host.submit(&session, &body).await.expect(202);
        }
        let (worker, mut claimed) = (host.worker("w"), Vec::new());
        for _ in 0..RUNS {
            claimed.push(worker.take().await);
        }
        claimed.sort_by_key(|run| run.text().parse::<usize>().unwrap_or_default());
        Self { claimed, next: 0 }
    }

    async fn speak(&mut self, host: &Host) {
        let worker = host.worker("w");
        while let Some(claimed) = self.claimed.get(self.next) {
            let texts: Vec<String> = (0..OUTPUTS).map(|output| content(self.next, output)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let Ok(answer) = worker.try_finish(claimed, &texts).await else { return };
            answer.expect(200);
            self.next += 1;
        }
    }
}

/// What receivers and connectors have seen, and the operator who looks there before deciding.
struct Watch {
    receiver: Receiver,
    lanes: Vec<Lane>,
    /// What connectors sent until the last kill, in order.
    sent: Vec<Sight>,
}

impl Watch {
    fn arrived(&self, host: &Host) -> usize {
        self.receiver.count() + self.sent.len() + sights(&host.log()).len()
    }

    /// Decides about what holds a lane: it is sent again where it was not seen. Nobody decides about anything else.
    async fn decide(&self, host: &Host) {
        let log = sights(&host.log());
        let unknown = host.get("/v1/deliveries?status=unknown&plugin=outbox&limit=100").await.expect(200);
        for held in unknown.items() {
            let Some(lane) = self.held(held) else { continue };
            let path = format!("/v1/deliveries/{}", held["delivery_id"].as_str().unwrap_or_default());
            let shown = host.get(&path).await.expect(200).json;
            let parts = shown["parts"].as_array().into_iter().flatten();
            for part in parts.filter(|part| part["status"] == "unknown") {
                let marker = judge::marker(part["text"].as_str().unwrap_or_default());
                let mut sights = self.sent.iter().chain(&log);
                let seen = sights.any(|sight| sight.marker == marker && sight.lane == lane.name);
                let verb = if seen { "mark-delivered" } else { "resend" };
                host.post(&format!("{path}/parts/{}/{verb}", part["part"]), &json!({})).await.expect(200);
            }
        }
    }

    /// The lane that a delivery holds.
    fn held(&self, delivery: &Value) -> Option<&Lane> {
        let digest = delivery["target"].as_str()?;
        self.lanes.iter().find(|lane| lane.policy == Policy::Hold && lane.digest == digest)
    }

    /// Waits for so many arrivals, and kills the daemon.
    async fn kill_at(&self, host: &Host, arrivals: usize) {
        within(Duration::from_secs(60), &format!("{arrivals} arrivals of {ALL}"), async || {
            self.decide(host).await;
            (self.arrived(host) >= arrivals).then_some(())
        })
        .await;
        host.killer().kill();
    }

    /// Waits until nothing is left to be sent.
    async fn until_the_end(&self, host: &Host) {
        within(Duration::from_secs(90), "everything is sent", async || {
            self.decide(host).await;
            let parts = host.ledger().await["deliveries"].clone();
            let ended = [&parts["delivered"], &parts["unknown"]].into_iter().filter_map(Value::as_u64).sum::<u64>();
            (ended == ALL as u64).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn ten_thousand_deliveries_survive_any_kill() {
    let kills = kills();
    let receiver = Receiver::start().await;
    let lanes = lanes(&receiver);
    let connectors = lanes.iter().filter(|lane| !lane.is_url());
    let connectors: String = connectors
        .map(|lane| outbox(&lane.name, &format!("unknown_deliveries = \"{}\"", lane.policy.name())))
        .collect();
    let mut host = super::builder().plugins(&[OUTBOX]).connectors(connectors).settings(super::QUICK).start().await;
    let mut speaker = Speaker::with_runs(&host, &receiver).await;
    let mut watch = Watch { receiver, lanes, sent: Vec::new() };
    for arrivals in kills {
        futures_util::future::join(speaker.speak(&host), watch.kill_at(&host, arrivals)).await;
        host.kill();
        watch.sent.extend(sights(&host.log()));
        host.restart().await;
    }
    speaker.speak(&host).await;
    watch.until_the_end(&host).await;
    let books = Books::read(&host).await;
    host.kill();
    watch.sent.extend(sights(&host.log()));
    judge(&watch.lanes, &watch.receiver.received(), &watch.sent, &books);
}
