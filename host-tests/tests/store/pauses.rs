//! Pauses of connectors, on both databases: what is claimed beside them, and what attempts make of them.

use std::{collections::HashMap, sync::Arc};

use kheish::{
    clock::Clock,
    delivery::{
        destinations::NoConnectors,
        pause::{Change, Lock},
        policies::Policies,
        settle::{Settle, Settled},
        share::Shares,
        take::{Reclaim, Take},
    },
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
        ids::SessionId,
        pause::Pause,
        target::ReplyTarget,
    },
    outputs::direct::Say,
    store::{Store, deliveries::Settlement, pauses, sql::Query},
};

use super::{Statement, accept, desk, event, nobody_absent, unpaced};

/// Lanes of the paused connector that stand before all others.
const LANES: i64 = 20_000;
/// Between claims, in milliseconds: longer than their leases.
const STEP: i64 = 1_000_000;

fn lane(connector: &str, lane: &str) -> ReplyTarget {
    let address = serde_json::json!({ "connector": connector, "lane": lane }).to_string();
    ReplyTarget { plugin: "outbox".to_owned(), address }
}

async fn say(store: &Store, clock: &Clock, target: ReplyTarget) {
    let session = SessionId::parse("s").unwrap();
    let say = Say {
        receipt: None,
        run: clock.run_id(),
        session,
        target,
        output: "hello".to_owned().into(),
        desk: desk(clock),
    };
    store.write(say).await.unwrap().unwrap();
}

async fn take(store: &Store, limit: i64, now_ms: i64) -> Vec<Delivery> {
    let shares = Shares::new(100, 50, HashMap::new());
    let take = Take {
        owner: "d".to_owned(),
        limit,
        lease_ms: 60_000,
        now_ms,
        shares,
        after: None,
        pacer: unpaced(),
        absent: nobody_absent(),
    };
    store.write(take).await.unwrap().parts.into_iter().map(|(delivery, _)| delivery).collect()
}

async fn settle(store: &Store, delivery: Delivery, error: Option<&str>, lock: Option<Lock>, now_ms: i64) -> Settled {
    let status = if error.is_some() { DeliveryStatus::Pending } else { DeliveryStatus::Delivered };
    let said = error.map(|code| (code.to_owned(), "They say so.".to_owned()));
    let (uncounted, next_ms) = (i64::from(error.is_some()), error.map(|_| now_ms));
    let settlement = Settlement { uncounted, next_ms, ..Settlement::of(status, said) };
    let (policy, effects) = (UnknownPolicy::Pass, Vec::new());
    store
        .write(Settle {
            delivery,
            settlement,
            policy,
            looked: None,
            failed: None,
            lock,
            effects,
            paced_ms: None,
            now_ms,
        })
        .await
        .unwrap()
}

fn done(change: Option<Change>) -> Settled {
    Settled::Done { change, paced: false }
}

fn connectors(taken: &[Delivery]) -> Vec<(&str, Option<i64>)> {
    taken
        .iter()
        .map(|delivery| {
            let main = delivery.target.address.contains("\"main\"");
            (if main { "main" } else { "other" }, delivery.probe)
        })
        .collect()
}

pub(super) async fn a_pause_holds_its_lanes_and_no_others(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    for name in ["a", "b", "c"] {
        say(store, clock, lane("main", name)).await;
    }
    let now = clock.now_ms() + STEP;
    let taken = take(store, 2, now).await;
    assert_eq!(connectors(&taken), [("main", None), ("main", None)]);
    // Two find it out at the same time; the first of them begins the pause.
    let [first, second] = <[Delivery; 2]>::try_from(taken).unwrap();
    let probe = now + STEP;
    let Settled::Done { change: Some(Change::Began(pause)), .. } =
        settle(store, first, Some("revoked"), Some(Lock::Locked(probe)), now).await
    else {
        panic!("the first one begins the pause")
    };
    let told =
        Pause { since_ms: now, code: "revoked".to_owned(), reason: "They say so.".to_owned(), next_probe_ms: probe };
    assert_eq!(pause, told);
    let late = settle(store, second, Some("later"), Some(Lock::Locked(probe + 1)), now + 1).await;
    assert_eq!(late, done(None));
    assert_eq!(pauses::all(store).await.unwrap().remove("outbox/main"), Some(told));
    // However many of its lanes stand before the others, the others are claimed.
    let flood = "INSERT INTO lanes (id, state, ready_at, epoch, queued, last_seq, created_ms, updated_ms, owner) \
                 WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) \
                 SELECT 'outbox:' || n, 1, n, 0, 1, 1, 0, 0, 'outbox/main' FROM numbers";
    store.write(Statement(Query::new(flood).bind(LANES))).await.unwrap();
    for name in ["a", "b"] {
        say(store, clock, lane("other", name)).await;
    }
    assert_eq!(connectors(&take(store, 1, now + 2).await), [("other", None)]);
    assert_eq!(connectors(&take(store, 10, now + 2).await), [("other", None)]);
    let gone = "DELETE FROM lanes WHERE id LIKE 'outbox:%' AND last_seq = 1 AND created_ms = 0";
    store.write(Statement(Query::new(gone))).await.unwrap();
    probes_come_one_by_one(&stores, probe).await;
}

/// Every daemon asks at once, and one of them gets one delivery.
async fn probe_at(stores: &[Store], now_ms: i64) -> Vec<Delivery> {
    let takes = stores.iter().cloned().map(|store| async move { take(&store, 10, now_ms).await });
    let mut taken: Vec<Delivery> = futures_util::future::join_all(takes).await.into_iter().flatten().collect();
    taken.retain(|delivery| delivery.target.plugin == "outbox");
    taken
}

async fn probes_come_one_by_one(stores: &[Store], first_ms: i64) {
    let store = &stores[0];
    assert!(probe_at(stores, first_ms - 1).await.is_empty());
    let taken = probe_at(stores, first_ms).await;
    assert_eq!(connectors(&taken), [("main", Some(0))]);
    // While it is under way there is no other, and its failure puts the next one off.
    assert!(probe_at(stores, first_ms + 1).await.is_empty());
    let lock = Some(Lock::Locked(first_ms + STEP));
    let delivery = taken.into_iter().next().unwrap();
    let tried = delivery.id;
    assert_eq!(settle(store, delivery, Some("still"), lock, first_ms + 2).await, done(None));
    assert_eq!(pauses::all(store).await.unwrap()["outbox/main"].code, "still");
    assert!(probe_at(stores, first_ms + STEP - 1).await.is_empty());
    let taken = probe_at(stores, first_ms + STEP).await;
    assert_eq!(connectors(&taken), [("main", Some(1))]);
    // Daemons that ask together pass over lanes that another one looks at.
    assert!(stores.len() > 1 || taken[0].id != tried, "the lane that has waited longest is the next one");
    // What fails for another reason says nothing of the lock.
    let second_ms = first_ms + 2 * STEP;
    let delivery = taken.into_iter().next().unwrap();
    let unsaid = Some(Lock::Unsaid(second_ms));
    assert_eq!(settle(store, delivery, Some("busy"), unsaid, first_ms + STEP + 1).await, done(None));
    let pause = pauses::all(store).await.unwrap().remove("outbox/main").unwrap();
    assert_eq!((pause.code.as_str(), pause.next_probe_ms), ("still", second_ms));
    // One that nobody settles, because its daemon died, makes room for the next one when its lease is over.
    assert_eq!(connectors(&probe_at(stores, second_ms).await), [("main", Some(1))]);
    let taken = probe_at(stores, second_ms + 60_000).await;
    assert_eq!(connectors(&taken), [("main", Some(1))]);
    let delivery = taken.into_iter().next().unwrap();
    let ended = settle(store, delivery, None, Some(Lock::Open), second_ms + 60_001).await;
    assert_eq!(ended, done(Some(Change::Ended)));
    assert!(pauses::all(store).await.unwrap().is_empty());
    assert_eq!(connectors(&probe_at(stores, second_ms + 60_002).await), [("main", None)]);
}

/// The daemon that held these leases has died, and another one starts.
async fn reclaim(store: &Store, now_ms: i64) {
    let policies = Policies { destinations: Arc::new(NoConnectors), settings: Arc::default() };
    let former = Some(("d".to_owned(), "e".to_owned()));
    store.write(Reclaim { now_ms, former, policies }).await.unwrap();
}

pub(super) async fn a_probe_that_died_makes_room_and_nothing_else_does(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    for name in ["a", "b", "c"] {
        say(store, clock, lane("main", name)).await;
    }
    let now = clock.now_ms() + STEP;
    let due = async || pauses::all(store).await.unwrap()["outbox/main"].next_probe_ms;
    let first = take(store, 2, now).await.remove(0);
    let probe = now + STEP;
    settle(store, first, Some("revoked"), Some(Lock::Locked(probe)), now).await;
    reclaim(store, now + 1).await;
    assert_eq!(due().await, probe, "what was sent before the pause hurries no probe");
    assert_eq!(connectors(&take(store, 10, probe).await), [("main", Some(0))]);
    assert!(due().await > probe, "its place is held");
    reclaim(store, probe + 1).await;
    assert_eq!(due().await, probe + 1, "nobody makes it any more");
    assert_eq!(connectors(&take(store, 10, probe + 1).await), [("main", Some(0))]);
}
