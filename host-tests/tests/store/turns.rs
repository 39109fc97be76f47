//! Lanes are leased by turns: no owner gets more than its share, and those behind it in the index are found.

use std::collections::HashMap;

use kheish::{
    clock::Clock,
    delivery::{share::Shares, take::Take},
    store::Store,
};

use super::{accept, claim, event, finish, nobody_absent, target, unpaced};

/// A lane at each of these URLs, each with one delivery.
async fn fill(store: &Store, clock: &Clock, key: &str, urls: impl IntoIterator<Item = String>) {
    let mut event = event(clock, key, key, "x");
    event.entries[0].request.reply_targets = urls.into_iter().map(|url| target(&url)).collect();
    accept(store, event).await.unwrap();
    let claimed = claim(store, clock, 1).await.remove(0);
    finish(store, clock, &claimed).await;
}

/// One dispatcher, whose workers never end.
struct Dispatcher {
    workers: usize,
    held: HashMap<String, usize>,
    after: Option<String>,
}

impl Dispatcher {
    /// Leases up to `limit` lanes; says whose they are, in their order.
    async fn take(&mut self, store: &Store, clock: &Clock, limit: i64) -> Vec<String> {
        let shares = Shares::new(self.workers, 50, self.held.clone());
        let (owner, now_ms, after) = ("dispatcher:test".to_owned(), clock.now_ms(), self.after.take());
        let take =
            Take { owner, limit, lease_ms: 60_000, now_ms, shares, after, pacer: unpaced(), absent: nobody_absent() };
        let taken = store.write(take).await.unwrap();
        self.after = taken.after;
        let mut owners: Vec<String> = taken.parts.into_iter().map(|(_, owner)| owner).collect();
        owners.iter().for_each(|owner| *self.held.entry(owner.clone()).or_default() += 1);
        owners.sort();
        owners
    }
}

pub(super) async fn owners_keep_to_their_share(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], Clock::system());
    fill(store, &clock, "big", (0..100).map(|n| format!("https://big.example/{n}"))).await;
    let others = ["https://one.example/a", "https://one.example/b", "https://two.example/"];
    fill(store, &clock, "others", others.map(str::to_owned)).await;
    let mut dispatcher = Dispatcher { workers: 16, held: HashMap::new(), after: None };
    let first = dispatcher.take(store, &clock, 16).await;
    assert_eq!(first[..8], vec!["https://big.example"; 8], "half of the workers");
    assert_eq!(first[8..], ["https://one.example", "https://two.example"], "one of each that is behind them");
    assert_eq!(dispatcher.take(store, &clock, 6).await, ["https://one.example"]);
    assert!(dispatcher.take(store, &clock, 5).await.is_empty(), "who has its share waits, however many are free");
    assert_eq!(dispatcher.after, None, "everybody was looked at");
    dispatcher.held.remove("https://big.example");
    assert_eq!(dispatcher.take(store, &clock, 16).await.len(), 6, "half of what the others leave");
}

pub(super) async fn owners_get_their_turn(stores: Vec<Store>) {
    let (store, clock) = (&stores[0], Clock::system());
    fill(store, &clock, "big", (0..100).map(|n| format!("https://big.example/{n}"))).await;
    let owner = |n: usize| format!("https://small{n:03}.example");
    fill(store, &clock, "others", (0..600).map(|n| format!("{}/", owner(n)))).await;
    let held = HashMap::from([("https://big.example".to_owned(), 1000)]);
    let mut dispatcher = Dispatcher { workers: 2000, held, after: None };
    let mut taken = Vec::new();
    // More owners than one look finds: each look goes on where the one before ended.
    for _ in 0..3 {
        taken.extend(dispatcher.take(store, &clock, 1).await);
    }
    assert_eq!(taken, [owner(0), owner(255), owner(511)]);
    assert_eq!(dispatcher.after, None, "the walk is over");
    while taken.len() < 600 {
        let next = dispatcher.take(store, &clock, 100).await;
        assert!(!next.is_empty() || dispatcher.after.is_some(), "{} are left", 600 - taken.len());
        taken.extend(next);
    }
    taken.sort();
    assert_eq!(taken, (0..600).map(owner).collect::<Vec<_>>());
}
