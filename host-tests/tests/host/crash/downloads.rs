//! A daemon that is killed at any moment while it fetches files of events: every run happens once, each of its files is there or
//! is told, and nothing half-written stays.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use kheish_host_tests::{
    client::Client,
    courier::courier,
    host::{COURIER, Host, Killer},
    receiver::{Received, Receiver, Reply},
    sender::Sender,
    sign::sha256_hex,
    wait::within,
};
use serde_json::{Value, json};

use super::moments::Moments;

const KILLS: usize = 20;
const PLATFORMS: usize = 4;
/// Files that the daemon fetches at once, all connectors together.
const AT_ONCE: usize = 16;
/// Size of large files, in bytes.
const LARGE: usize = 300_000;
/// Events of one platform in one life of the daemon: so many only where nothing is fetched, and so nothing kills it.
const TOO_MANY: usize = 5_000;

/// Set to repeat the moments of a run that failed.
const SEED: &str = "DOWNLOADS_SEED";

const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[downloads]\npoll_interval_ms = 20\n[downloads.retry]\ninitial_ms = 10\n\
                     max_ms = 30\nmax_attempts = 4\n";

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Small,
    Large,
    /// Others have the same bytes.
    Same,
    Vanished,
    /// It comes at the second request.
    Busy,
    /// The first connection breaks.
    Broken,
}

impl Fate {
    /// By the last letter of the path.
    fn of(path: &str) -> Self {
        use Fate::{Broken, Busy, Large, Same, Small, Vanished};
        let number = path.rsplit('/').next().and_then(|last| last.parse::<usize>().ok()).unwrap_or_default();
        [Small, Large, Same, Vanished, Large, Busy, Broken][number % 7]
    }

    /// Requests that it takes.
    fn requests(self) -> usize {
        1 + usize::from(matches!(self, Self::Busy | Self::Broken))
    }
}

fn content(path: &str) -> String {
    match Fate::of(path) {
        Fate::Large => path.repeat(LARGE / path.len()),
        Fate::Same => "the same for everybody".to_owned(),
        _ => path.to_owned(),
    }
}

fn answer(request: &Received) -> Reply {
    match Fate::of(&request.path) {
        Fate::Vanished => Reply::Status(404),
        Fate::Busy if request.nth_to_path == 0 => Reply::Status(503),
        Fate::Broken if request.nth_to_path == 0 => Reply::HangUp,
        _ => Reply::Body(200, "text/plain", content(&request.path)),
    }
}

/// Kills the daemon some time after so many files were asked for.
#[derive(Default)]
struct Trap(Mutex<Option<(usize, Duration, Killer)>>);

impl Trap {
    fn set(&self, files: usize, delay: Duration, victim: Killer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((files, delay, victim));
    }

    /// One more was asked for.
    fn count(&self) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((left @ 1.., ..)) = &mut *set {
            *left -= 1;
            return;
        }
        let Some((_, delay, victim)) = set.take() else { return };
        let begun = Instant::now();
        thread::spawn(move || {
            // Timers are too coarse for moments between two steps of one fetch.
            while begun.elapsed() < delay {
                std::hint::spin_loop();
            }
            victim.kill();
        });
    }
}

/// One platform: sends the events of one session, each only after the one before was acknowledged.
struct Platform {
    number: usize,
    /// Runs of acknowledged events, in order.
    acknowledged: Vec<String>,
}

impl Platform {
    /// The paths of the files of an event.
    fn files(&self, n: usize) -> impl Iterator<Item = String> {
        let number = self.number;
        (0..n % 4).map(move |file| format!("/c{number}/{n}/{}", n * 3 + file))
    }

    fn event(&self, n: usize, api: &Receiver) -> Value {
        let file = |path: String| {
            json!({ "name": "a.txt", "media_type": "text/plain",
                "locator": { "url": api.url(&path), "bearer": ["token"] } })
        };
        json!({ "id": format!("c{}-{n}", self.number), "text": "hello", "files": self.files(n).map(file).collect::<Vec<_>>() })
    }

    /// Sends the event that is due; false when no acknowledgement came.
    async fn send(&mut self, host: &Host, api: &Receiver) -> bool {
        let sender = Sender::new(&Client::new(host.client().base()), "courier", &format!("c{}", self.number));
        let event = self.event(self.acknowledged.len(), api);
        let Ok(answer) = sender.try_post(&event).await else { return false };
        self.acknowledged.push(answer.expect(200).text("/run_id").to_owned());
        true
    }

    async fn send_until_it_breaks(&mut self, host: &Host, api: &Receiver) {
        let before = self.acknowledged.len();
        while self.send(host, api).await {
            assert!(self.acknowledged.len() < before + TOO_MANY, "nothing is fetched");
        }
    }

    /// Each run is there once, in order, and has of each file the asset or the reason why it has none.
    async fn check(&self, host: &Host) {
        for (n, id) in self.acknowledged.iter().enumerate() {
            let run = host.run(id).await;
            assert_eq!((&run["seq"], &run["status"]), (&json!(n + 1), &json!("completed")), "{run}");
            assert_eq!(run["outputs"].as_array().map(Vec::len), Some(1), "{run}");
            let parts = run["input"].as_array().cloned().unwrap_or_default();
            let paths: Vec<String> = self.files(n).collect();
            if paths.is_empty() {
                assert_eq!(parts[0]["text"], "hello");
                continue;
            }
            assert_eq!(parts.len(), paths.len(), "{run}");
            for (path, part) in paths.iter().zip(&parts) {
                check_file(path, part);
            }
        }
    }
}

fn check_file(path: &str, part: &Value) {
    if Fate::of(path) == Fate::Vanished {
        let told = (&part["type"], &part["code"]);
        assert_eq!(told, (&json!("unavailable_file"), &json!("file_vanished")), "{path}");
    } else {
        let expected = sha256_hex(content(path));
        assert_eq!((&part["type"], &part["asset_id"]), (&json!("asset"), &json!(expected)), "{path}: {part}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The files that runs name lie in the folder of files, each with its bytes, and nothing else does.
fn check_folder(host: &Host, platforms: &[Platform]) {
    let paths = platforms.iter().flat_map(|one| (0..one.acknowledged.len()).flat_map(|n| one.files(n)));
    let kept = paths.filter(|path| Fate::of(path) != Fate::Vanished);
    let expected: BTreeSet<String> = kept.map(|path| sha256_hex(content(&path))).collect();
    let root = host.state_folder().join("assets");
    let (folders, others): (Vec<String>, Vec<String>) = names(&root).into_iter().partition(|name| name.len() == 2);
    assert_eq!(others, ["link.key"], "nothing half-written stays");
    let mut lying = BTreeSet::new();
    for folder in folders {
        for rest in names(&root.join(&folder)) {
            let id = format!("{folder}{rest}");
            assert_eq!(sha256_hex(fs::read(root.join(&folder).join(rest)).unwrap()), id);
            lying.insert(id);
        }
    }
    assert!(lying == expected, "{} files lie there, expected {}", lying.len(), expected.len());
}

/// How often files are asked for at most, when only a kill makes the daemon ask again.
fn most_requests(platforms: &[Platform]) -> usize {
    let paths = platforms.iter().flat_map(|one| (0..one.acknowledged.len()).flat_map(|n| one.files(n)));
    paths.map(|path| Fate::of(&path).requests()).sum::<usize>() + KILLS * AT_ONCE
}

#[tokio::test]
async fn every_file_is_there_or_told_whenever_the_daemon_dies() {
    let mut moments = Moments::seeded(SEED);
    let trap = Arc::new(Trap::default());
    let watched = Arc::clone(&trap);
    let api = Receiver::scripted(move |request| {
        watched.count();
        answer(request)
    })
    .await;
    let connector = |n: usize| {
        courier(&api.url(""), "ingress_events_per_second = 100000").replace("\"main\"", &format!("\"c{n}\""))
    };
    let connectors: String = (0..PLATFORMS).map(connector).collect();
    let builder = Host::builder().executor("echo").plugins(&[COURIER]).settings(QUICK).connectors(connectors);
    let mut host = builder.start().await;
    let mut platforms: Vec<Platform> =
        (0..PLATFORMS).map(|number| Platform { number, acknowledged: Vec::new() }).collect();
    for _ in 0..KILLS {
        let delay = u64::try_from(moments.up_to(6_000)).unwrap_or_default();
        trap.set(moments.up_to(30), Duration::from_micros(delay), host.killer());
        join_all(platforms.iter_mut().map(|platform| platform.send_until_it_breaks(&host, &api))).await;
        host.restart().await;
    }
    for platform in &mut platforms {
        assert!(platform.send(&host, &api).await, "a daemon that is back takes what was not acknowledged");
    }
    let total: usize = platforms.iter().map(|platform| platform.acknowledged.len()).sum();
    within(Duration::from_secs(60), "every run has happened", async || {
        (host.ledger().await["runs"]["completed"] == total).then_some(())
    })
    .await;
    println!("{total} runs, {} requests for files", api.count());
    for platform in &platforms {
        platform.check(&host).await;
    }
    assert!(api.count() <= most_requests(&platforms), "{} requests", api.count());
    check_folder(&host, &platforms);
}
