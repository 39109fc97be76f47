//! What operators do about deliveries, on both databases.

use std::sync::Arc;

use kheish::{
    clock::Clock,
    delivery::{
        operate::{
            Refusal,
            close::{Close, End},
            decide::{Decide, Verdict},
            replay::{Replay, Replayed},
            reset::{Found, Reset},
        },
        policies::Policies,
        take::{Reclaim, Take},
    },
    model::{
        delivery::{DeliveryState, UnknownPolicy},
        ids::{DeliveryId, SessionId},
    },
    outputs::direct::{Say, Unsaid},
    store::{
        Store,
        deliveries::read::{self, DeliveryFilter},
        sql::Query,
    },
};

use super::{NoConnectors, accept, desk, event, target};

async fn say(store: &Store, clock: &Clock, session: &str) -> Result<DeliveryId, Unsaid> {
    let say = Say {
        receipt: None,
        run: clock.run_id(),
        session: SessionId::parse(session).unwrap(),
        target: target("https://one.example/"),
        content: "hello".to_owned(),
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
    let take = Take { owner: "d".to_owned(), limit: 10, lease_ms: 1, now_ms: clock.now_ms() };
    store.write(take).await.unwrap().into_iter().map(|delivery| delivery.id).collect()
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
    let policies = Policies { destinations: Arc::new(NoConnectors), http: UnknownPolicy::Pass };
    store.write(Reclaim { now_ms: clock.now_ms() + 10, former: None, policies }).await.unwrap();
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
    let policies = Policies { destinations: Arc::new(NoConnectors), http: UnknownPolicy::Pass };
    store.write(Reclaim { now_ms: clock.now_ms() + 10, former: None, policies }).await.unwrap();
    assert_eq!(decide(Verdict::Delivered(Some("p".to_owned()))).await, Ok(1));
    assert_eq!(state(store, id).await, DeliveryState::Delivered);
    let Ok(Replayed::New(made)) = replay(next, false).await else { panic!("a cancelled one is replayed") };
    assert_eq!(replay(next, false).await, Ok(Replayed::Existing(made)));
    assert_eq!(take(store, clock).await, [made]);
    assert_eq!(queued(store).await, 0, "the lane counts what waits in it");
    assert_eq!(close(made, End::Purge).await, Err(Refusal::Stands(DeliveryState::Sending)));
    let reset = Reset { lane: None, plugin: Some("http".to_owned()), dry_run: false, now_ms: clock.now_ms() };
    assert_eq!(store.write(reset).await.unwrap(), Found::default());
}
