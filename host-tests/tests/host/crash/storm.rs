//! Senders at full pace and a daemon that is killed at any moment, again and again: nothing lost, nothing doubled, and
//! every session in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use kheish_host_tests::{
    connectors::Http,
    host::Host,
    receiver::{Received, Receiver},
    sender::{Sender, event},
    wait::{eventually, within},
};

const ROUNDS: usize = 8;
const SENDERS: usize = 6;
const TOKEN: &str = "token-of-the-storm";
const KEY: &str = "key-of-the-storm";

/// One platform: sends the events of one session, each only after the one before was acknowledged.
struct Platform {
    number: usize,
    next: usize,
    /// Runs of acknowledged events, in order.
    acknowledged: Vec<String>,
}

impl Platform {
    fn sender(&self, host: &Host) -> Sender {
        host.sender(&format!("c{}", self.number)).bearer(TOKEN).hmac(KEY)
    }

    fn content(&self, n: usize) -> String {
        format!("c{}-{n}", self.number)
    }

    /// Sends the event that is due; false when no acknowledgement came.
    async fn send(&mut self, sender: &Sender) -> bool {
        let content = self.content(self.next);
        let Ok(answer) = sender.try_post(&event(&content, &format!("room {}", self.number), &content)).await else {
            return false;
        };
        let run = answer.expect(200).text("/run_id").to_owned();
        self.acknowledged.push(run);
        self.next += 1;
        true
    }

    async fn send_until_it_breaks(&mut self, host: &Host, acknowledged: &AtomicUsize) {
        let sender = self.sender(host);
        while self.send(&sender).await {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn any_up_to(most: usize, round: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(round) % most as u64).unwrap_or_default()
}

/// One round: everybody sends, the daemon is killed after some acknowledgements, and comes back; what was not
/// acknowledged is sent again.
async fn round(host: &mut Host, platforms: &mut [Platform], number: usize) {
    let acknowledged = AtomicUsize::new(0);
    let enough = any_up_to(80, number);
    {
        let (sent, victim) = (&*host, host.killer());
        let sending = join_all(platforms.iter_mut().map(|platform| platform.send_until_it_breaks(sent, &acknowledged)));
        let killing = async {
            eventually("enough was acknowledged", async || {
                (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
            victim.kill();
        };
        futures_util::future::join(sending, killing).await;
    }
    host.restart().await;
    for platform in platforms {
        let sender = platform.sender(host);
        assert!(platform.send(&sender).await, "a daemon that is back takes what was not acknowledged");
    }
}

/// The first request with each key, in the order of arrival: what a receiver keeps that recognises keys.
fn kept(received: &[Received]) -> Vec<&Received> {
    let mut seen = BTreeSet::new();
    received.iter().filter(|request| seen.insert(request.key())).collect()
}

async fn check_runs(host: &Host, platform: &Platform) {
    let distinct: BTreeSet<&String> = platform.acknowledged.iter().collect();
    assert_eq!(distinct.len(), platform.acknowledged.len(), "two events became one run");
    for (n, run) in platform.acknowledged.iter().enumerate() {
        let run = host.run(run).await;
        assert_eq!(run["seq"], n + 1, "{run}");
        assert_eq!(run["outputs"].as_array().map(Vec::len), Some(1), "{run}");
        assert_eq!(run["outputs"][0]["content"], platform.content(n));
    }
}

fn check_replies(receiver: &Receiver, platform: &Platform) {
    let received = receiver.received_at(&format!("/c{}", platform.number));
    let kept: Vec<&str> = kept(&received).into_iter().map(Received::content).collect();
    let expected: Vec<String> = (0..platform.next).map(|n| platform.content(n)).collect();
    assert_eq!(kept, expected, "every event is answered once, in order");
    let mut bodies: BTreeMap<&str, &Received> = BTreeMap::new();
    for request in &received {
        let first = bodies.entry(request.key()).or_insert(request);
        assert_eq!(first.body, request.body, "a key stands for one body");
    }
}

#[tokio::test]
async fn whatever_is_acknowledged_is_done_once() {
    let receiver = Receiver::start().await;
    let connector = |n: usize| {
        Http::named(&format!("c{n}"))
            .bearer(TOKEN)
            .hmac(KEY)
            .fast()
            .set(format!("fixed_session_id = \"s{n}\""))
            .reply_to(&[receiver.target(&format!("/c{n}"))])
            .to_string()
    };
    let connectors: String = (0..SENDERS).map(connector).collect();
    let mut host = Host::builder().executor("echo").connectors(connectors).settings(super::QUICK).start().await;
    let mut platforms: Vec<Platform> =
        (0..SENDERS).map(|number| Platform { number, next: 0, acknowledged: Vec::new() }).collect();
    for number in 0..ROUNDS {
        round(&mut host, &mut platforms, number).await;
    }
    let total: usize = platforms.iter().map(|platform| platform.next).sum();
    within(Duration::from_secs(60), "everything is answered", async || {
        let ledger = host.ledger().await;
        (ledger["runs"]["completed"] == total && ledger["deliveries"]["delivered"] == total).then_some(())
    })
    .await;
    let ledger = host.ledger().await;
    assert_eq!(
        (&ledger["runs"]["failed"], &ledger["runs"]["queued"], &ledger["sessions"]["total"]),
        (&0.into(), &0.into(), &SENDERS.into())
    );
    for platform in &platforms {
        check_runs(&host, platform).await;
        check_replies(&receiver, platform);
    }
}
