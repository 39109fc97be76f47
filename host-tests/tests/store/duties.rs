//! Duties: one daemon at a time, and nothing that a former one would write.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kheish::{
    clock::Clock,
    config::duties::DutySettings,
    duties::Duties,
    ingress::{accept::Accepted, poll::Fenced},
    store::{Store, duties::Duty, runs, sql::Query},
};
use kheish_host_tests::wait::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::event;

/// Longer than a test.
const LONG_MS: u64 = 600_000;

async fn daemon(store: &Store, family: &str, lease_ms: u64) -> Arc<Duties> {
    Duties::open(store.clone(), Clock::system(), family, &DutySettings { lease_ms }).await.unwrap()
}

/// Two daemons of state folders of their own.
async fn two(stores: &[Store], lease_ms: u64) -> [Arc<Duties>; 2] {
    [daemon(&stores[0], "one:", lease_ms).await, daemon(&stores[stores.len() - 1], "two:", lease_ms).await]
}

/// Whether the daemon still has it, for another lease.
async fn renew(daemon: &Duties, duty: &Duty) -> bool {
    daemon.renew(HashSet::from([duty.clone()])).await.unwrap().contains(duty)
}

/// The duties that have a row.
async fn rows(store: &Store) -> Vec<String> {
    let rows = store.read(Query::new("SELECT name FROM duties ORDER BY name")).await.unwrap();
    rows.into_iter().map(|mut row| row.take().unwrap()).collect()
}

pub(crate) async fn a_duty_is_one_daemon_s_until_it_lets_go(stores: Vec<Store>) {
    let [one, two] = two(&stores, LONG_MS).await;
    let first = one.take("d").await.unwrap().unwrap();
    assert!(two.take("d").await.unwrap().is_none(), "it was taken twice");
    assert!(two.take("other").await.unwrap().is_some());
    assert!(renew(&one, &first).await);
    one.release(first.clone()).await.unwrap();
    assert_eq!(rows(&stores[0]).await, ["other"], "nobody has it");
    let second = two.take("d").await.unwrap().unwrap();
    // What the former owner still says changes nothing.
    assert!(!renew(&one, &first).await);
    one.release(first).await.unwrap();
    assert!(one.take("d").await.unwrap().is_none() && renew(&two, &second).await);
    // Nor when nobody else comes between: what was let go of is not had again without being taken.
    two.release(second.clone()).await.unwrap();
    let third = two.take("d").await.unwrap().unwrap();
    assert!(!renew(&two, &second).await && renew(&two, &third).await);
}

pub(crate) async fn all_that_a_daemon_has_is_renewed_together(stores: Vec<Store>) {
    let [one, two] = two(&stores, LONG_MS).await;
    let mut held = HashSet::new();
    for number in 0..150 {
        held.insert(one.take(&format!("d{number}")).await.unwrap().unwrap());
    }
    assert_eq!(one.renew(held.clone()).await.unwrap(), held);
    let passed_on = held.iter().next().unwrap().clone();
    one.release(passed_on.clone()).await.unwrap();
    assert!(two.take(&passed_on.name).await.unwrap().is_some());
    let kept = one.renew(held.clone()).await.unwrap();
    held.remove(&passed_on);
    assert_eq!(kept, held, "one that is lost takes none of the others along");
}

pub(crate) async fn a_duty_of_a_daemon_that_is_gone_is_had_by_another(stores: Vec<Store>) {
    let [gone, other] = two(&stores, 300).await;
    let former = gone.take("d").await.unwrap().unwrap();
    let taken = eventually("its lease is over", async || other.take("d").await.unwrap()).await;
    assert!(renew(&other, &taken).await && !renew(&gone, &former).await);
    // The next process of the same state folder waits for no lease.
    let [gone, _] = two(&stores, LONG_MS).await;
    let former = gone.take("e").await.unwrap().unwrap();
    assert!(gone.take("never again").await.unwrap().is_some());
    let next = daemon(&stores[0], "one:", LONG_MS).await;
    assert_eq!(rows(&stores[0]).await, Vec::<String>::new(), "nothing is left of a process that is gone");
    assert!(next.take("e").await.unwrap().is_some());
    assert!(!renew(&gone, &former).await);
}

pub(crate) async fn what_was_fetched_by_a_former_owner_is_not_written(stores: Vec<Store>) {
    let (clock, [slow, other]) = (Clock::system(), two(&stores, 300).await);
    let late = slow.take("d").await.unwrap().unwrap();
    let write = |store: &Store, duty: &_, key| {
        let fenced = Fenced { duty: Clone::clone(duty), accept: event(&clock, "s", key, "x") };
        let store = store.clone();
        async move { store.write(fenced).await.unwrap() }
    };
    assert!(matches!(write(&stores[0], &late, "a").await, Some(Ok(done)) if matches!(done[..], [Accepted::Fresh(..)])));
    let now = eventually("its lease is over", async || other.take("d").await.unwrap()).await;
    assert!(write(&stores[0], &late, "b").await.is_none(), "it was written without the duty");
    assert!(write(&stores[stores.len() - 1], &now, "c").await.is_some());
    let runs: i64 = runs::tally(&stores[0]).await.unwrap().iter().map(|(_, count)| count).sum();
    assert_eq!(runs, 2);
}

/// Daemons that all want it, one after another ended in order; the work itself sees whether it is alone.
pub(crate) async fn one_daemon_at_a_time_does_it(stores: Vec<Store>) {
    let (alone, turns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut daemons = JoinSet::new();
    for number in 0..4 {
        let duties = daemon(&stores[number % stores.len()], &format!("{number}:"), 1_500).await;
        let (alone, turns) = (Arc::clone(&alone), Arc::clone(&turns));
        daemons.spawn(async move {
            let stop = CancellationToken::new();
            let work = |_, lost: CancellationToken| {
                let (alone, turns) = (Arc::clone(&alone), Arc::clone(&turns));
                async move {
                    assert_eq!(alone.fetch_add(1, Ordering::SeqCst), 0, "two do it at the same time");
                    // Longer than a lease: it is kept because it is renewed.
                    tokio::time::timeout(Duration::from_millis(1_800), lost.cancelled()).await.unwrap_err();
                    alone.fetch_sub(1, Ordering::SeqCst);
                    turns.fetch_add(1, Ordering::SeqCst);
                }
            };
            duties.perform("d", &stop, || (), work).await;
        });
    }
    while let Some(ended) = daemons.join_next().await {
        ended.unwrap();
    }
    assert_eq!(turns.load(Ordering::SeqCst), 4, "everybody had a turn");
}
