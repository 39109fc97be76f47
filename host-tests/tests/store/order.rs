//! Heads are locked before the items behind them, so that on PostgreSQL no two commands wait for each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kheish::{
    clock::Clock,
    delivery::{
        operate::{
            close::{Close, End},
            decide::{Decide, Verdict},
            look_up::Seek,
        },
        settle::{Settle, Settled},
        share::Shares,
        take::Take,
    },
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
        ids::{DeliveryId, SessionId},
    },
    outputs::{direct::Say, finish::Finished},
    store::{
        Store, StoreError,
        deliveries::{
            Settlement,
            read::{self, DeliveryFilter},
        },
        sql::Query,
        writer::{Command, Tx},
    },
};
use tokio::sync::Notify;

use super::{Server, accept, claim, desk, event, finish, nobody_absent, postgres, target, unpaced};

/// Others that wait for a lock, for longer than the server waits before it looks for a deadlock.
const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND clock_timestamp() - query_start > INTERVAL '200 milliseconds'";

/// Holds a head as a sweep does, and goes on to an item once somebody waits.
#[derive(Clone)]
struct Grip {
    head: Query,
    item: Query,
    watcher: Store,
    holds: Arc<Notify>,
    tries: Arc<AtomicUsize>,
}

impl Command for Grip {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for grip in batch {
            let again = grip.tries.fetch_add(1, Ordering::Relaxed) > 0;
            tx.execute(grip.head.clone()).await?;
            grip.holds.notify_one();
            while !again && grip.watcher.read(Query::new(WAITING)).await?.remove(0).take::<i64>()? == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tx.execute(grip.item.clone()).await?;
        }
        Ok(vec![(); batch.len()])
    }
}

/// Does this on one daemon while another one holds the head and then wants the item. None of the two may have been broken off.
async fn beside<T>(stores: &[Store], (head, item): (Query, Query), what: &str, act: impl Future<Output = T>) -> T {
    let (holds, tries) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let grip = Grip { head, item, watcher: stores[2].clone(), holds: Arc::clone(&holds), tries: Arc::clone(&tries) };
    let other = stores[1].clone();
    let held = tokio::spawn(async move { other.write(grip).await });
    holds.notified().await;
    let done = act.await;
    held.await.unwrap().unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 1, "{what} and a sweep waited for each other");
    done
}

async fn say(store: &Store, clock: &Clock) -> DeliveryId {
    let (receipt, session) = (None, SessionId::parse("s").unwrap());
    let (target, output) = (target("https://one.example/"), "hello".to_owned().into());
    let say = Say { receipt, run: clock.run_id(), session, target, output, desk: desk(clock) };
    let run = store.write(say).await.unwrap().unwrap();
    let filter = DeliveryFilter { run: Some(run), ..DeliveryFilter::default() };
    read::ids(store, &filter, 1).await.unwrap().remove(0)
}

async fn take(store: &Store, clock: &Clock) -> Delivery {
    let shares = Shares::new(100, 50, std::collections::HashMap::new());
    let (owner, now_ms, pacer) = ("d".to_owned(), clock.now_ms(), unpaced());
    let take = Take { owner, limit: 1, lease_ms: 60_000, now_ms, shares, after: None, pacer, absent: nobody_absent() };
    store.write(take).await.unwrap().parts.remove(0).0
}

async fn settle(store: &Store, clock: &Clock, delivery: Delivery, status: DeliveryStatus) -> Settled {
    let error = Some(("timeout".to_owned(), "No answer.".to_owned()));
    let (settlement, policy, effects) = (Settlement::of(status, error), UnknownPolicy::Hold, Vec::new());
    let (looked, failed, lock, paced_ms, now_ms) = (None, None, None, None, clock.now_ms());
    store.write(Settle { delivery, settlement, policy, looked, failed, lock, effects, paced_ms, now_ms }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_while_a_sweep_takes_its_session() {
    let server = Server::start();
    let (stores, clock) = (postgres(&server, 3).await, Clock::system());
    accept(&stores[0], event(&clock, "s", "k", "x")).await.unwrap();
    let claimed = claim(&stores[0], &clock, 1).await.remove(0);
    let head =
        Query::new("UPDATE sessions SET updated_ms = updated_ms WHERE id = ?").bind(claimed.run.session.as_str());
    let item = Query::new("UPDATE runs SET attempt = attempt WHERE id = ?").bind(claimed.run.id);
    let ended = beside(&stores, (head, item), "the end of a run", finish(&stores[0], &clock, &claimed)).await;
    assert!(matches!(ended, Finished::Done(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_changes_while_a_sweep_takes_its_lane() {
    let server = Server::start();
    let (stores, clock) = (postgres(&server, 3).await, Clock::system());
    let store = &stores[0];
    accept(store, event(&clock, "s", "k", "x")).await.unwrap();
    let (id, lane) = (say(store, &clock).await, target("https://one.example/").lane());
    let rows = |id: DeliveryId| {
        let head = Query::new("UPDATE lanes SET updated_ms = updated_ms WHERE id = ?").bind(lane.as_str());
        (head, Query::new("UPDATE deliveries SET attempt = attempt WHERE id = ?").bind(id))
    };
    let delivery = take(store, &clock).await;
    let settled = settle(store, &clock, delivery, DeliveryStatus::Unknown);
    assert_ne!(beside(&stores, rows(id), "the end of an attempt", settled).await, Settled::Lost);
    let seek = store.write(Seek { id, now_ms: clock.now_ms() });
    assert_eq!(beside(&stores, rows(id), "look-up", seek).await.unwrap(), Ok(()));
    let decide = store.write(Decide { id, part: None, verdict: Verdict::Resend, now_ms: clock.now_ms() });
    assert_eq!(beside(&stores, rows(id), "resend", decide).await.unwrap(), Ok(1));
    let close = store.write(Close { id, end: End::Cancel, now_ms: clock.now_ms() });
    assert_eq!(beside(&stores, rows(id), "cancel", close).await.unwrap(), Ok(()));
}
