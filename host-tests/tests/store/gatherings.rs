//! Events that gather into one run, while several daemons accept them and claim runs.

use std::collections::BTreeMap;

use kheish::{
    clock::Clock,
    ingress::accept::{Accept, Accepted, Gathers},
    model::{
        ids::RunId,
        run::{RunInput, RunStatus},
    },
    queue::{
        cancel::{Cancel, Cancelled},
        claim::{Claim, ClaimedRun},
    },
    store::{Store, runs},
};

use super::{accept, claim, event, finish};

/// Groups of each test, each in a session of its own.
const GROUPS: usize = 8;
/// Events of each group.
const EVENTS: u64 = 6;

/// An event of a group, which says its own place.
fn member(clock: &Clock, group: usize, position: u64, wait_ms: i64) -> Accept {
    let name = format!("{group}-{position}");
    let mut accept = event(clock, &format!("s{group}"), &name, &name);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(group as u64).to_be_bytes());
    let gathers = Gathers { key, position, wait_ms, longest_ms: 1_000_000, most: 100 };
    accept.entries[0].gathers = Some(gathers);
    accept
}

async fn run_of(store: &Store, accept: Accept) -> RunId {
    match super::accept(store, accept).await {
        Ok(Accepted::Fresh(run, _)) => run.id,
        Ok(Accepted::Joined(run)) => run,
        other => panic!("{other:?}"),
    }
}

async fn claim_at(store: &Store, now_ms: i64) -> Vec<ClaimedRun> {
    let executors = vec![String::new()];
    let claim = Claim { owner: "worker:test".to_owned(), executors, limit: 100, lease_ms: 60_000, now_ms };
    store.write(claim).await.unwrap()
}

fn texts(input: &[RunInput]) -> Vec<&str> {
    let texts = input.iter().map(|part| match part {
        RunInput::Text { text } => text.as_str(),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

/// The first events of a group come to several daemons at once, in a session that nobody knows yet.
pub(super) async fn events_of_a_group_are_one_run_whoever_takes_them(stores: Vec<Store>) {
    const WAIT_MS: i64 = 100_000;
    let clock = Clock::system();
    let mut tasks = Vec::new();
    for position in 0..EVENTS {
        for group in 0..GROUPS {
            let store = stores[(group + position as usize) % stores.len()].clone();
            let event = member(&clock, group, position, WAIT_MS);
            tasks.push(tokio::spawn(async move { (group, run_of(&store, event).await) }));
        }
    }
    let mut of_group: BTreeMap<usize, RunId> = BTreeMap::new();
    for task in tasks {
        let (group, run) = task.await.unwrap();
        assert_eq!(*of_group.entry(group).or_insert(run), run, "group {group} has one run");
    }
    let again = accept(&stores[0], member(&clock, 0, 1, WAIT_MS)).await;
    assert!(matches!(again, Ok(Accepted::Duplicate(run)) if run == of_group[&0]), "{again:?}");
    assert!(claim(&stores[0], &clock, 100).await.is_empty(), "all of them wait");
    assert!(claim(stores.last().unwrap(), &clock, 100).await.is_empty());
    let mut claimed = claim_at(&stores[0], clock.now_ms() + WAIT_MS).await;
    claimed.sort_by_key(|claimed| claimed.run.session.as_str().to_owned());
    assert_eq!(claimed.len(), GROUPS);
    for (group, claimed) in claimed.iter().enumerate() {
        let expected: Vec<String> = (0..EVENTS).map(|position| format!("{group}-{position}")).collect();
        assert_eq!(texts(&claimed.run.request.input), expected, "in the order of their places");
        assert_eq!(claimed.run.id, of_group[&group]);
    }
}

/// Runs are claimed while events still come: each event is in one run, the one that its sender heard of.
pub(super) async fn an_event_joins_a_run_that_waits_or_is_one(stores: Vec<Store>) {
    let clock = Clock::system();
    let mut tasks = Vec::new();
    for position in 0..EVENTS {
        for group in 0..GROUPS {
            let store = stores[(group + position as usize) % stores.len()].clone();
            let event = member(&clock, group, position, 0);
            tasks.push(tokio::spawn(async move { (format!("{group}-{position}"), run_of(&store, event).await) }));
        }
    }
    let mut heard: BTreeMap<String, RunId> = BTreeMap::new();
    let mut performed: BTreeMap<String, RunId> = BTreeMap::new();
    let (mut stores_in_turn, mut tasks) = (stores.iter().cycle(), tasks.into_iter());
    while performed.len() < GROUPS * EVENTS as usize {
        let store = stores_in_turn.next().unwrap();
        for claimed in claim(store, &clock, 100).await {
            for text in texts(&claimed.run.request.input) {
                assert!(performed.insert(text.to_owned(), claimed.run.id).is_none(), "{text} came twice");
            }
            finish(store, &clock, &claimed).await;
        }
        if let Some(task) = tasks.next() {
            let (name, run) = task.await.unwrap();
            heard.insert(name, run);
        }
    }
    for task in tasks {
        let (name, run) = task.await.unwrap();
        heard.insert(name, run);
    }
    assert_eq!(heard, performed);
}

pub(super) async fn a_group_that_is_cancelled_or_full_is_joined_no_more(stores: Vec<Store>) {
    let clock = Clock::system();
    let (one, other) = (&stores[0], stores.last().unwrap());
    let bounded = |position| {
        let mut event = member(&clock, 0, position, 100_000);
        event.entries[0].gathers.as_mut().unwrap().most = 2;
        event
    };
    let first = run_of(one, bounded(1)).await;
    assert!(claim(other, &clock, 10).await.is_empty());
    assert_eq!(run_of(other, bounded(0)).await, first);
    let second = run_of(one, bounded(2)).await;
    assert_ne!(second, first);
    let claimed = claim(other, &clock, 10).await.remove(0);
    assert_eq!((claimed.run.id, texts(&claimed.run.request.input)), (first, vec!["0-0", "0-1"]));
    finish(one, &clock, &claimed).await;
    assert!(claim(one, &clock, 10).await.is_empty());
    let cancel = Cancel { run: second, now_ms: clock.now_ms() };
    assert_eq!(one.write(cancel).await.unwrap(), Cancelled::AtOnce);
    assert_ne!(run_of(other, bounded(3)).await, second);
    assert_eq!(runs::get(one, second).await.unwrap().unwrap().status, RunStatus::Cancelled);
    // Many of one call, more than a run takes.
    let mut many = bounded(10);
    many.entries.extend((11..15).flat_map(|position| bounded(position).entries));
    let accepted = one.write(many).await.unwrap().unwrap();
    let kinds: Vec<bool> = accepted.iter().map(|one| matches!(one, Accepted::Joined(_))).collect();
    assert_eq!(kinds, [true, false, true, false, true], "{accepted:?}");
}
