//! What operators do about deliveries, on both databases.

use std::{collections::HashMap, sync::Arc};

use kheish::{
    clock::Clock,
    delivery::{
        BreakerSettings, DeliverySettings, HttpDelivery,
        operate::{
            Refusal,
            close::{Close, End},
            decide::{Decide, Verdict},
            look_up::Seek,
            replay::{Replay, Replayed},
            reset::{Found, Reset},
        },
        policies::Policies,
        settle::{Settle, Settled},
        share::Shares,
        take::{Reclaim, Take},
    },
    model::{
        delivery::{Delivery, DeliveryState, DeliveryStatus, Receipt, UnknownPolicy},
        ids::{DeliveryId, SessionId},
    },
    outputs::direct::{Say, Unsaid},
    store::{
        Store,
        deliveries::{
            Settlement,
            read::{self, DeliveryFilter},
        },
        sql::Query,
    },
};

use super::{NoConnectors, accept, desk, event, nobody_absent, target, unpaced};

async fn say(store: &Store, clock: &Clock, session: &str) -> Result<DeliveryId, Unsaid> {
    let say = Say {
        receipt: None,
        run: clock.run_id(),
        session: SessionId::parse(session).unwrap(),
        target: target("https://one.example/"),
        output: "hello".to_owned().into(),
        desk: desk(clock),
    };
    let run = store.write(say).await.unwrap()?;
    let filter = DeliveryFilter { run: Some(run), ..DeliveryFilter::default() };
    Ok(read::ids(store, &filter, 1).await.unwrap().remove(0))
}

async fn state(store: &Store, id: DeliveryId) -> DeliveryState {
    let delivery = read::get(store, id).await.unwrap().unwrap();
    let filter = DeliveryFilter { state: Some(delivery.state()), ..DeliveryFilter::default() };
    assert!(read::ids(store, &filter, 10).await.unwrap().contains(&id), "{:?} lists it", delivery.state());
    assert!(read::count(store, &filter).await.unwrap() > 0);
    assert_eq!(read::content(store, id).await.unwrap().content.as_deref(), Some("hello"));
    delivery.state()
}

async fn take(store: &Store, clock: &Clock) -> Vec<DeliveryId> {
    take_at(store, clock.now_ms()).await.into_iter().map(|delivery| delivery.id).collect()
}

async fn take_at(store: &Store, now_ms: i64) -> Vec<Delivery> {
    let shares = Shares::new(100, 50, HashMap::new());
    let take = Take {
        owner: "d".to_owned(),
        limit: 10,
        lease_ms: 1,
        now_ms,
        shares,
        after: None,
        pacer: unpaced(),
        absent: nobody_absent(),
    };
    store.write(take).await.unwrap().parts.into_iter().map(|(delivery, _)| delivery).collect()
}

/// Every lease is over, and nobody can be asked.
async fn reclaim(store: &Store, now_ms: i64, http: UnknownPolicy) {
    let http = HttpDelivery { unknown: http, ..HttpDelivery::default() };
    let settings = Arc::new(DeliverySettings { http, ..DeliverySettings::default() });
    let policies = Policies { destinations: Arc::new(NoConnectors), settings };
    store.write(Reclaim { now_ms, former: None, policies }).await.unwrap();
}

async fn queued(store: &Store) -> i64 {
    let query = Query::new("SELECT queued FROM lanes WHERE id = ?").bind(target("https://one.example/").lane());
    store.read(query).await.unwrap().remove(0).take().unwrap()
}

pub(super) async fn operators_change_deliveries(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    assert_eq!(say(store, clock, "t").await, Err(Unsaid::UnknownSession));
    let id = say(store, clock, "s").await.unwrap();
    let next = say(store, clock, "s").await.unwrap();
    assert_eq!(state(store, id).await, DeliveryState::Pending);
    // It is being sent when its sender dies, so it is unknown, and the lane goes on.
    assert_eq!(take(store, clock).await, [id]);
    assert_eq!(state(store, id).await, DeliveryState::Sending);
    reclaim(store, clock.now_ms() + 10, UnknownPolicy::Pass).await;
    assert_eq!(state(store, id).await, DeliveryState::Unknown);
    assert_eq!(read::attempts(store, id).await.unwrap()[0].outcome, "unknown");
    let close = async |id, end| store.write(Close { id, end, now_ms: clock.now_ms() }).await.unwrap();
    let replay = async |id, force| store.write(Replay { id, force, clock: clock.clone() }).await.unwrap();
    assert_eq!(replay(id, false).await, Err(Refusal::Stands(DeliveryState::Unknown)));
    let decide = async |verdict| {
        let decide = Decide { id, part: None, verdict, now_ms: clock.now_ms() };
        store.write(decide).await.unwrap()
    };
    // It is behind the next one now.
    assert_eq!(decide(Verdict::Resend).await, Ok(1));
    assert_eq!(state(store, id).await, DeliveryState::Retrying);
    assert_eq!(close(next, End::Cancel).await, Ok(()));
    assert_eq!(state(store, next).await, DeliveryState::Cancelled);
    assert_eq!(take(store, clock).await, [id]);
    assert_eq!(close(id, End::Cancel).await, Err(Refusal::Stands(DeliveryState::Sending)));
    reclaim(store, clock.now_ms() + 10, UnknownPolicy::Pass).await;
    assert_eq!(decide(Verdict::Delivered(Some("p".to_owned()))).await, Ok(1));
    assert_eq!(state(store, id).await, DeliveryState::Delivered);
    let Ok(Replayed::New(made)) = replay(next, false).await else { panic!("a cancelled one is replayed") };
    assert_eq!(replay(next, false).await, Ok(Replayed::Existing(made)));
    assert_eq!(take(store, clock).await, [made]);
    assert_eq!(queued(store).await, 0, "the lane counts what waits in it");
    assert_eq!(close(made, End::Purge).await, Err(Refusal::Stands(DeliveryState::Sending)));
    let reset =
        Reset { lane: None, plugin: Some("http".to_owned()), connector: None, dry_run: false, now_ms: clock.now_ms() };
    assert_eq!(store.write(reset).await.unwrap(), Found::default());
}

pub(super) async fn an_idle_lane_is_left_in_peace_as_long_as_a_busy_one(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    let now = clock.now_ms() + 1_000;
    let die = async |id, peace_ms: Option<i64>, failed, now_ms| {
        let delivery = take_at(store, now_ms).await.remove(0);
        assert_eq!(delivery.id, id);
        let error = Some(("status".to_owned(), "It answered 503.".to_owned()));
        let settlement = Settlement { peace_ms, ..Settlement::of(DeliveryStatus::Dead, error) };
        let (policy, effects) = (UnknownPolicy::Pass, Vec::new());
        let (looked, lock, paced_ms) = (None, None, None);
        let settle = Settle { delivery, settlement, policy, looked, failed, lock, effects, paced_ms, now_ms };
        store.write(settle).await.unwrap();
    };
    // The last one in the lane opens the breaker.
    let breaker = BreakerSettings { failures: 1, cooldown_ms: 5_000 };
    die(say(store, clock, "s").await.unwrap(), None, Some(breaker.clone()), now).await;
    let second = say(store, clock, "s").await.unwrap();
    assert!(take_at(store, now + 4_999).await.is_empty(), "the breaker is open");
    die(second, Some(now + 60_000), None, now + 5_000).await;
    let third = say(store, clock, "s").await.unwrap();
    assert!(take_at(store, now + 59_999).await.is_empty(), "the target asked to wait");
    die(third, None, Some(breaker), now + 60_000).await;
    // Somebody says that the target is well.
    let reset = Reset { lane: None, plugin: None, connector: None, dry_run: false, now_ms: now + 60_001 };
    assert_eq!(store.write(reset).await.unwrap().lanes.len(), 1);
    let last = say(store, clock, "s").await.unwrap();
    assert_eq!(take_at(store, now + 60_001).await.remove(0).id, last);
}

pub(super) async fn what_dies_with_its_daemon_again_and_again_is_given_up(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    let (id, now) = (say(store, clock, "s").await.unwrap(), clock.now_ms() + 1_000);
    let HttpDelivery { max_attempts, give_up_after_ms, .. } = HttpDelivery::default();
    for attempt in 1..=max_attempts {
        assert_eq!(take_at(store, now + 10 * attempt).await.remove(0).attempt, attempt);
        reclaim(store, now + 10 * attempt + 5, UnknownPolicy::Resend).await;
    }
    assert!(take_at(store, now + 1_000).await.is_empty());
    let old = say(store, clock, "s").await.unwrap();
    assert_eq!(take_at(store, now + 1_000).await.remove(0).id, old);
    reclaim(store, now + give_up_after_ms, UnknownPolicy::Resend).await;
    for (id, why) in [(id, "(attempt 10, the last)"), (old, "too late")] {
        assert_eq!(state(store, id).await, DeliveryState::DeadLettered);
        let (code, detail) = read::get(store, id).await.unwrap().unwrap().parts.remove(0).error.unwrap();
        assert!(code == "interrupted" && detail.contains("not known") && detail.contains(why), "{detail}");
    }
    // What nobody may repeat stays unknown, however old it is.
    let kept = say(store, clock, "s").await.unwrap();
    let late = now + give_up_after_ms;
    assert_eq!(take_at(store, late).await.remove(0).id, kept);
    reclaim(store, late + give_up_after_ms, UnknownPolicy::Pass).await;
    assert_eq!(state(store, kept).await, DeliveryState::Unknown);
}

/// A store, and a time of its own that goes on by 10 ms with each act.
struct Acts<'s> {
    store: &'s Store,
    now_ms: i64,
    id: DeliveryId,
}

impl Acts<'_> {
    fn tick(&mut self) -> i64 {
        self.now_ms += 10;
        self.now_ms
    }

    async fn take(&mut self) -> Vec<Delivery> {
        let now_ms = self.tick();
        take_at(self.store, now_ms).await
    }

    /// Takes the one part that is next: which, and the how-manieth look-up it is.
    async fn next(&mut self) -> (Delivery, Option<i64>) {
        let part = self.take().await.remove(0);
        let count = part.look_up.map(|look_up| look_up.count);
        (part, count)
    }

    async fn reclaim(&mut self) {
        let now_ms = self.tick();
        reclaim(self.store, now_ms, UnknownPolicy::Hold).await;
    }

    async fn seek(&mut self) -> Result<(), Refusal> {
        let seek = Seek { id: self.id, now_ms: self.tick() };
        self.store.write(seek).await.unwrap()
    }

    async fn resend(&mut self) -> Result<usize, Refusal> {
        let decide = Decide { id: self.id, part: None, verdict: Verdict::Resend, now_ms: self.tick() };
        self.store.write(decide).await.unwrap()
    }

    /// The end of a look-up that found the part.
    async fn found(&mut self, delivery: &Delivery) -> bool {
        let receipt = Some(Receipt { platform_id: Some("p".to_owned()), detail: None });
        let settlement = Settlement { receipt, ..Settlement::of(DeliveryStatus::Delivered, None) };
        let (delivery, now_ms) = (delivery.clone(), self.tick());
        let looked = Some(("found".to_owned(), "it is there".to_owned()));
        let policy = UnknownPolicy::Hold;
        let settle = Settle {
            delivery,
            settlement,
            policy,
            looked,
            failed: None,
            lock: None,
            effects: Vec::new(),
            paced_ms: None,
            now_ms,
        };
        self.store.write(settle).await.unwrap() != Settled::Lost
    }

    async fn stands(&self) -> (DeliveryState, i64) {
        (state(self.store, self.id).await, queued(self.store).await)
    }
}

pub(super) async fn what_is_looked_up_goes_first_and_is_fenced(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    let id = say(store, clock, "s").await.unwrap();
    let behind = say(store, clock, "s").await.unwrap();
    let mut acts = Acts { store, now_ms: clock.now_ms(), id };
    assert_eq!(acts.seek().await, Err(Refusal::Stands(DeliveryState::Pending)));
    assert_eq!(acts.next().await.1, None);
    acts.reclaim().await;
    assert!(acts.take().await.is_empty(), "the lane is held");
    // Ordered twice, it is one look-up, and before what is behind it.
    assert_eq!((acts.seek().await, acts.seek().await), (Ok(()), Ok(())));
    assert_eq!(acts.stands().await, (DeliveryState::Unknown, 2));
    let (first, count) = acts.next().await;
    assert_eq!((first.id, count, queued(store).await), (id, Some(1), 1));
    assert_eq!(acts.seek().await, Ok(()), "one is under way");
    assert!(acts.take().await.is_empty());
    // Whoever looked it up is gone: it is still unknown and looked up again, and a late answer changes nothing.
    acts.reclaim().await;
    assert_eq!(acts.stands().await, (DeliveryState::Unknown, 2));
    assert!(!acts.found(&first).await);
    let (second, count) = acts.next().await;
    assert_eq!((second.id, count), (id, Some(2)));
    assert!(!acts.found(&first).await);
    // An operator decides meanwhile: the answer comes too late and gives the lane back.
    assert_eq!((acts.resend().await, queued(store).await), (Ok(1), 2));
    assert!(!acts.found(&second).await);
    assert_eq!(acts.stands().await, (DeliveryState::Retrying, 2));
    let (third, count) = acts.next().await;
    assert_eq!((third.id, third.attempt, count), (id, 2, None));
    // The same of one that waits for its look-up.
    acts.reclaim().await;
    acts.seek().await.unwrap();
    assert_eq!((acts.resend().await, queued(store).await), (Ok(1), 2));
    assert_eq!(acts.next().await.1, None);
    // This time it is found, and the lane goes on.
    acts.reclaim().await;
    acts.seek().await.unwrap();
    let (last, _) = acts.next().await;
    assert!(acts.found(&last).await);
    assert_eq!(acts.stands().await, (DeliveryState::Delivered, 1));
    assert_eq!(acts.next().await.0.id, behind);
    let recorded = read::attempts(store, id).await.unwrap();
    let outcomes: Vec<&str> = recorded.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["unknown", "look_up", "unknown", "unknown", "look_up"]);
}
