//! Files that runs wait for, while several daemons fetch them, claim runs and cancel.

use kheish::{
    clock::Clock,
    delivery::pause::{Change, Lock},
    ingress::{
        accept::{Accept, Accepted},
        download::settle::{Fetched, Reclaim, Said, Settle, Take},
    },
    model::{event::RemoteFile, ids::RunId, run::RunInput},
    queue::cancel::{Cancel, Cancelled},
    store::{
        Store,
        assets::NewAsset,
        downloads::{self, Download},
        pauses,
    },
};

use super::{accept, claim, event, finish};

/// Files of one run.
const FILES: usize = 4;
/// Runs of the session.
const RUNS: usize = 6;

fn file(name: String) -> RunInput {
    RunInput::RemoteFile(RemoteFile { name, media_type: None, size: None, locator: "{}".to_owned() })
}

/// An event whose run waits for so many files.
fn with_files(clock: &Clock, key: &str, count: usize) -> Accept {
    let mut accept = event(clock, "s", key, key);
    for entry in &mut accept.entries {
        entry.fetch = true;
        entry.request.input = (0..count).map(|part| file(format!("{key}-{part}"))).collect();
    }
    accept
}

async fn make(store: &Store, clock: &Clock, key: &str, count: usize) -> RunId {
    match accept(store, with_files(clock, key, count)).await {
        Ok(Accepted::Fresh(run, _)) => run.id,
        other => panic!("{other:?}"),
    }
}

async fn take(store: &Store, clock: &Clock) -> Option<Download> {
    let now_ms = clock.now_ms();
    take_of(store, downloads::due(store, now_ms).await.unwrap(), now_ms).await
}

async fn take_of(store: &Store, due: Vec<String>, now_ms: i64) -> Option<Download> {
    let (owner, until_ms) = ("me:1".to_owned(), now_ms + 60_000);
    store.write(Take { due, owner, now_ms, until_ms, give_up_after_ms: 600_000 }).await.unwrap()
}

async fn settle(store: &Store, clock: &Clock, download: &Download, fetched: Fetched) -> bool {
    let (download, now_ms) = (download.clone(), clock.now_ms());
    store.write(Settle { download, fetched, said: None, now_ms }).await.unwrap().written
}

fn missing(download: &Download) -> Fetched {
    let code = format!("part_{}", download.part);
    Fetched::Unavailable { code, reason: "It is gone.".to_owned() }
}

/// Fetches until nothing is due.
async fn fetch_all(store: Store, clock: Clock) {
    while let Some(download) = take(&store, &clock).await {
        tokio::task::yield_now().await;
        assert!(settle(&store, &clock, &download, missing(&download)).await);
        assert!(!settle(&store, &clock, &download, missing(&download)).await, "a file ends once");
    }
}

pub(super) async fn files_of_many_runs_are_fetched_side_by_side(stores: Vec<Store>) {
    let clock = Clock::system();
    let mut runs = Vec::new();
    for run in 0..RUNS {
        runs.push(make(&stores[0], &clock, &format!("run{run}"), FILES).await);
    }
    assert!(claim(&stores[0], &clock, 10).await.is_empty(), "the oldest waits, and nobody passes it");
    let daemons = stores.iter().cycle().take(4);
    let fetching: Vec<_> = daemons.map(|store| tokio::spawn(fetch_all(store.clone(), clock.clone()))).collect();
    for fetching in fetching {
        fetching.await.unwrap();
    }
    for (run, other) in runs.into_iter().zip(stores.iter().cycle()) {
        let claimed = claim(other, &clock, 10).await.remove(0);
        assert_eq!(claimed.run.id, run);
        for (part, input) in claimed.run.request.input.iter().enumerate() {
            let expected = format!("part_{part}");
            assert!(matches!(input, RunInput::UnavailableFile { code, .. } if *code == expected), "{input:?}");
        }
        finish(other, &clock, &claimed).await;
    }
}

pub(super) async fn what_a_former_daemon_fetched_is_due_again(stores: Vec<Store>) {
    let clock = Clock::system();
    let (one, other) = (&stores[0], stores.last().unwrap());
    let mut wanted = with_files(&clock, "a", 1);
    let connector = wanted.source.clone();
    let asset = NewAsset { id: "f".repeat(64), media_type: "text/plain".to_owned(), data: b"hello".to_vec() };
    wanted.entries[0].assets.push(asset.clone());
    assert!(accept(one, wanted).await.is_ok());
    assert_eq!(downloads::due(one, clock.now_ms()).await.unwrap(), [connector]);
    assert_eq!(take_of(one, Vec::new(), clock.now_ms()).await, None, "its connector has enough under way");
    let lost = take(one, &clock).await.unwrap();
    assert_eq!((take(other, &clock).await, lost.attempt), (None, 1));
    let reclaim = |me: &str| Reclaim { family: "me:", me: me.to_owned(), now_ms: clock.now_ms() };
    assert_eq!(one.write(reclaim("me:1")).await.unwrap(), 0, "its owner is alive");
    assert_eq!(other.write(reclaim("me:2")).await.unwrap(), 1);
    let again = take(other, &clock).await.unwrap();
    assert_eq!((again.attempt, again.epoch > lost.epoch), (1, true));
    assert!(!settle(one, &clock, &lost, missing(&lost)).await, "it is somebody else's by now");
    let later = Fetched::Later { next_ms: clock.now_ms(), counts: false };
    assert!(settle(other, &clock, &again, later).await);
    let last = take(other, &clock).await.unwrap();
    assert_eq!(last.attempt, 1, "a wait that was asked for is free");
    assert!(settle(other, &clock, &last, Fetched::Asset(asset.id.clone())).await);
    let claimed = claim(one, &clock, 10).await.remove(0);
    assert!(matches!(&claimed.run.request.input[0], RunInput::Asset { asset_id, .. } if *asset_id == asset.id));
    finish(one, &clock, &claimed).await;
    // A run that is cancelled waits for nothing, and who waits behind it goes on.
    let cancelled = make(one, &clock, "b", 2).await;
    let held = take(other, &clock).await.unwrap();
    let behind = make(other, &clock, "c", 0).await;
    assert!(claim(one, &clock, 10).await.is_empty());
    let cancel = Cancel { run: cancelled, now_ms: clock.now_ms() };
    assert_eq!(one.write(cancel).await.unwrap(), Cancelled::AtOnce);
    assert!(!settle(other, &clock, &held, missing(&held)).await);
    assert_eq!(claim(other, &clock, 10).await.remove(0).run.id, behind);
}

/// How long runs of the next test wait for their files, in milliseconds.
const PATIENCE_MS: i64 = 10_000;

async fn take_at(store: &Store, now_ms: i64) -> Option<Download> {
    let (due, owner, until_ms) = (downloads::due(store, now_ms).await.unwrap(), "me:1".to_owned(), now_ms + 1_000);
    store.write(Take { due, owner, now_ms, until_ms, give_up_after_ms: PATIENCE_MS }).await.unwrap()
}

/// The attempt said this about the lock; the file is due again.
async fn say(store: &Store, download: &Download, lock: Lock, now_ms: i64) -> Option<Change> {
    let said = Some(Said { lock, why: ("revoked".to_owned(), "It was revoked.".to_owned()) });
    let fetched = Fetched::Later { next_ms: now_ms, counts: false };
    store.write(Settle { download: download.clone(), fetched, said, now_ms }).await.unwrap().change
}

pub(super) async fn files_of_a_paused_connector_wait_but_for_one_probe(stores: Vec<Store>) {
    let clock = Clock::system();
    let (one, other) = (&stores[0], stores.last().unwrap());
    for key in ["a", "b"] {
        make(one, &clock, key, 2).await;
    }
    let now_ms = clock.now_ms();
    let first = take_at(one, now_ms).await.unwrap();
    let beside = take_at(other, now_ms).await.unwrap();
    let change = say(one, &first, Lock::Locked(now_ms + 100), now_ms).await;
    assert!(matches!(change, Some(Change::Began(pause)) if pause.code == "revoked" && pause.since_ms == now_ms));
    assert_eq!(take_at(other, now_ms + 99).await, None, "its files wait");
    // What was under way is told the same, and begins no other pause.
    assert_eq!(say(other, &beside, Lock::Locked(now_ms + 50), now_ms).await, None);
    assert_eq!(take_at(other, now_ms + 99).await, None);
    let probe = take_at(other, now_ms + 100).await.unwrap();
    assert_eq!((probe.probe, &probe.refused), (Some(0), &None));
    assert_eq!(take_at(one, now_ms + 100).await, None, "one probe at a time");
    // A daemon that died while it probed leaves room for the next probe.
    let reclaim = Reclaim { family: "me:", me: "me:2".to_owned(), now_ms: now_ms + 200 };
    assert_eq!(one.write(reclaim).await.unwrap(), 1);
    let probe = take_at(one, now_ms + 200).await.unwrap();
    assert_eq!(probe.probe, Some(0));
    assert_eq!(say(one, &probe, Lock::Locked(now_ms + 60_000), now_ms + 200).await, None);
    // Runs that have waited long enough are told why there is no file; nobody asks for it.
    let late_ms = now_ms + PATIENCE_MS + 1_000;
    let late = take_at(other, late_ms).await.unwrap();
    assert_eq!((late.probe, &late.refused), (None, &Some(("revoked".to_owned(), "It was revoked.".to_owned()))));
    // What was found out counts, whoever has the file by now.
    assert_eq!(pauses::all(one).await.unwrap().len(), 1);
    assert_eq!(say(one, &probe, Lock::Open, late_ms).await, Some(Change::Ended));
    assert!(pauses::all(other).await.unwrap().is_empty());
}

/// Files of the paused connector in the next test.
const BACKLOG: usize = 20_000;

pub(super) async fn a_backlog_of_a_paused_connector_is_in_nobody_s_way(stores: Vec<Store>) {
    let clock = Clock::system();
    let (one, other) = (&stores[0], stores.last().unwrap());
    let now_ms = clock.now_ms();
    for run in 0..20 {
        let files = with_files(&clock, &format!("b{run}"), BACKLOG / 20);
        assert!(accept(one, Accept { now_ms, ..files }).await.is_ok());
    }
    let first = take_at(one, now_ms).await.unwrap();
    let paused = first.connector.clone();
    assert!(matches!(say(one, &first, Lock::Locked(now_ms + 600_000), now_ms).await, Some(Change::Began(_))));
    assert_eq!(take_at(other, now_ms).await, None, "they wait");
    let now_ms = now_ms + 1;
    let behind = Accept { source: "http/other".to_owned(), now_ms, ..with_files(&clock, "z", 2) };
    assert!(accept(one, behind).await.is_ok());
    assert_eq!(downloads::due(other, now_ms).await.unwrap(), [paused.as_str(), "http/other"]);
    for store in [one, other] {
        assert_eq!(take_at(store, now_ms).await.unwrap().connector, "http/other");
    }
    assert_eq!(take_at(one, now_ms).await, None);
    assert_eq!(downloads::due(one, now_ms).await.unwrap(), [paused]);
}
