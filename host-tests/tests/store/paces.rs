//! Lanes that wait for a rate, on both databases: when they are leased, and what is said of them meanwhile.

use std::collections::HashMap;

use kheish::{
    clock::Clock,
    delivery::{
        settle::{Settle, Settled},
        share::Shares,
        take::Take,
    },
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
        ids::SessionId,
        target::ReplyTarget,
    },
    outputs::direct::Say,
    store::{
        Store, StoreError,
        deliveries::{
            self, Settlement,
            read::{self, DeliveryFilter},
        },
        turns,
        writer::{Command, Tx},
    },
};

use super::{accept, desk, event, nobody_absent, target, unpaced};

/// Has a lane wait, and says where its next part goes.
struct PutOff {
    lane: String,
    ready_ms: i64,
}

impl Command for PutOff {
    type Reply = Option<ReplyTarget>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::new();
        for put_off in batch {
            replies.push(deliveries::next_target(tx, &put_off.lane).await?);
            turns::put_off(tx, &put_off.lane, put_off.ready_ms).await?;
        }
        Ok(replies)
    }
}

async fn say(store: &Store, clock: &Clock, target: &ReplyTarget) {
    let (session, target) = (SessionId::parse("s").unwrap(), target.clone());
    let output = "hello".to_owned().into();
    let say = Say { receipt: None, run: clock.run_id(), session, target, output, desk: desk(clock) };
    store.write(say).await.unwrap().unwrap();
}

async fn take(store: &Store, now_ms: i64) -> Vec<Delivery> {
    let shares = Shares::new(100, 50, HashMap::new());
    let take = Take {
        owner: "d".to_owned(),
        limit: 9,
        lease_ms: 60_000,
        now_ms,
        shares,
        after: None,
        pacer: unpaced(),
        absent: nobody_absent(),
    };
    store.write(take).await.unwrap().parts.into_iter().map(|(delivery, _)| delivery).collect()
}

/// It was delivered, and the next one may go at this moment.
async fn settle(store: &Store, delivery: Delivery, paced_ms: i64, now_ms: i64) -> Settled {
    let settlement = Settlement::of(DeliveryStatus::Delivered, None);
    let (policy, paced_ms, effects) = (UnknownPolicy::Pass, Some(paced_ms), Vec::new());
    let settle =
        Settle { delivery, settlement, policy, looked: None, failed: None, lock: None, effects, paced_ms, now_ms };
    store.write(settle).await.unwrap()
}

/// When the first and the last delivery are tried.
async fn next(store: &Store) -> Vec<Option<i64>> {
    let all = read::list(store, &DeliveryFilter::default(), 10).await.unwrap();
    all.iter().map(|delivery| delivery.parts[0].next_ms).collect()
}

pub(super) async fn a_lane_that_waits_for_a_rate_says_until_when(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], &Clock::system());
    accept(store, event(clock, "s", "k", "x")).await.unwrap();
    let place = target("https://example.com/in");
    say(store, clock, &place).await;
    say(store, clock, &place).await;
    let now_ms = clock.now_ms();
    let (first_ms, second_ms) = (now_ms + 5_000, now_ms + 9_000);
    let put_off = PutOff { lane: place.lane(), ready_ms: first_ms };
    assert_eq!(store.write(put_off).await.unwrap().as_ref(), Some(&place));
    assert_eq!(next(store).await, [Some(first_ms); 2]);
    assert!(take(store, first_ms - 1).await.is_empty());
    let first = take(store, first_ms).await.remove(0);
    assert_eq!(first.attempt, 1);
    assert_eq!(settle(store, first, second_ms, first_ms).await, Settled::Done { change: None, paced: true });
    assert_eq!(next(store).await, [None, Some(second_ms)]);
    assert!(take(store, second_ms - 1).await.is_empty());
    let second = take(store, second_ms).await.remove(0);
    // Nothing waits, so nothing was put off, and what comes next is looked at when it comes.
    assert_eq!(settle(store, second, second_ms + 1, second_ms).await, Settled::Done { change: None, paced: false });
    say(store, clock, &place).await;
    assert_eq!(take(store, second_ms).await.len(), 1);
}
