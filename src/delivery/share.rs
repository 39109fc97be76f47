//! How workers are shared among owners, so that whoever is slow keeps some of them waiting and never all.
//!
//! An owner is whom lanes lead to: a connector, or for URLs the origin (scheme, host and port). It may hold a part of the
//! workers that others do not hold, and always one; what others leave is less where there are many, and enough for the next.
//! Whoever holds fewest comes first, and among equals who has waited longest.
//!
//! Plugins take so many calls at once, in all and of one connector. These are shared by the same rule, so that no worker is
//! taken only to wait for a place.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::targets;
use crate::store::turns::Ready;

/// How many deliveries plugins take at once.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Of all connectors together.
    pub all: usize,
    /// Of one connector.
    pub per_connector: usize,
}

impl Calls {
    /// One at least, whatever is set.
    pub fn new(all: usize, per_connector: usize) -> Self {
        Self { all: all.max(1), per_connector: per_connector.max(1) }
    }
}

/// Who holds workers, and how many one may.
#[derive(Clone, Debug)]
pub struct Shares {
    workers: usize,
    percent: usize,
    held: HashMap<String, usize>,
    all: usize,
    /// Held by connectors.
    calling: usize,
    calls: Option<Calls>,
    closed: HashSet<String>,
}

impl Shares {
    /// Of so many workers each owner may hold `percent` of what others leave; these are held already.
    pub fn new(workers: usize, percent: usize, held: HashMap<String, usize>) -> Self {
        let all = held.values().sum();
        let calling = held.iter().filter(|(owner, _)| targets::is_connector(owner)).map(|(_, held)| held).sum();
        Self { workers: workers.max(1), percent, held, all, calling, calls: None, closed: HashSet::new() }
    }

    /// Connectors hold no more than plugins take.
    #[must_use]
    pub fn calling(self, calls: Calls) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// Nothing more is for this owner.
    pub fn close(&mut self, owner: String) {
        self.closed.insert(owner);
    }

    /// How many more an owner may hold.
    pub fn room(&self, owner: &str) -> usize {
        if self.closed.contains(owner) {
            return 0;
        }
        let held = self.held(owner);
        let left = self.workers.saturating_sub(self.all - held);
        let most = self.part(left).max(1).min(self.callable(owner, held));
        most.saturating_sub(held)
    }

    /// How many calls an owner may have under way that holds so many.
    fn callable(&self, owner: &str, held: usize) -> usize {
        match self.calls {
            Some(calls) if targets::is_connector(owner) => {
                let left = calls.all.saturating_sub(self.calling - held);
                self.part(left).max(1).min(left).min(calls.per_connector)
            }
            _ => usize::MAX,
        }
    }

    fn part(&self, left: usize) -> usize {
        left * self.percent / 100
    }

    /// How many more the owner may hold that holds most; all workers where nobody holds one.
    pub fn heaviest_room(&self) -> usize {
        let open = self.held.iter().filter(|(owner, _)| !self.closed.contains(*owner));
        let heaviest = open.max_by_key(|(_, held)| **held);
        heaviest.map_or(self.workers, |(owner, _)| self.room(owner))
    }

    /// Chooses up to `limit` of these lanes, which come longest-ready first, and counts them as held. `limit` is how many
    /// workers are free.
    pub fn pick(&mut self, ready: Vec<Ready>, limit: usize) -> Vec<Ready> {
        let mut further: HashMap<String, usize> = HashMap::new();
        let mut turns: Vec<(usize, Ready)> = Vec::with_capacity(ready.len());
        for lane in ready {
            let place = further.entry(lane.owner.clone()).or_insert_with(|| self.held(&lane.owner));
            turns.push((*place, lane));
            *place += 1;
        }
        // Stable: among equals the order of waiting stays.
        turns.sort_by_key(|(turn, _)| *turn);
        let mut picked = Vec::new();
        for (_, lane) in turns {
            if picked.len() < limit && self.room(&lane.owner) > 0 {
                *self.held.entry(lane.owner.clone()).or_default() += 1;
                self.all += 1;
                self.calling += usize::from(targets::is_connector(&lane.owner));
                picked.push(lane);
            }
        }
        picked
    }

    fn held(&self, owner: &str) -> usize {
        self.held.get(owner).copied().unwrap_or_default()
    }
}

/// What is being sent now, by owner. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Holdings(Arc<Mutex<HashMap<String, usize>>>);

/// One worker of an owner; free again when dropped.
#[derive(Debug)]
pub struct Holding {
    all: Holdings,
    owner: String,
}

impl Holdings {
    /// A worker begins for this owner.
    pub fn begin(&self, owner: String) -> Holding {
        *self.lock().entry(owner.clone()).or_default() += 1;
        Holding { all: self.clone(), owner }
    }

    /// How many each owner holds.
    pub fn now(&self) -> HashMap<String, usize> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.all.lock();
        if let Some(count) = held.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lanes(owners: &[usize]) -> Vec<Ready> {
        owners.iter().enumerate().map(|(n, owner)| Ready { id: n.to_string(), owner: format!("o{owner}") }).collect()
    }

    fn count(picked: &[Ready], owner: &str) -> usize {
        picked.iter().filter(|lane| lane.owner == owner).count()
    }

    #[test]
    fn one_owner_gets_half_and_the_next_ones_half_of_the_rest() {
        let mut shares = Shares::new(16, 50, HashMap::new());
        for (owner, expected) in [(0, 8), (1, 4), (2, 2), (3, 1), (4, 1), (5, 0)] {
            let free = shares.workers - shares.all;
            assert_eq!(shares.pick(lanes(&[owner; 100]), free).len(), expected, "o{owner}");
        }
    }

    #[test]
    fn who_holds_fewest_comes_first_and_then_who_waited_longest() {
        let mut shares = Shares::new(100, 50, HashMap::from([("o0".to_owned(), 1)]));
        let picked = shares.pick(lanes(&[0, 0, 1, 1, 2]), 4);
        let order: Vec<&str> = picked.iter().map(|lane| lane.id.as_str()).collect();
        assert_eq!(order, ["2", "4", "0", "3"]);
    }

    #[test]
    fn connectors_hold_no_more_than_plugins_take() {
        let named = |owner: &str, count: usize| vec![Ready { id: String::new(), owner: owner.to_owned() }; count];
        let mut shares = Shares::new(128, 50, HashMap::new()).calling(Calls { all: 20, per_connector: 8 });
        // Ten of twenty would be a share; then half of the twelve that are left, and so on until none is.
        for (owner, expected) in [("chat/a", 8), ("chat/b", 6), ("mail/a", 3), ("mail/b", 1), ("mail/c", 1)] {
            assert_eq!(shares.pick(named(owner, 100), 100).len(), expected, "{owner}");
        }
        assert_eq!(shares.pick(named("mail/d", 1), 100).len(), 1);
        assert_eq!(shares.pick(named("mail/e", 1), 100).len(), 0, "all calls are taken");
        assert_eq!(shares.pick(named("https://example.com", 100), 100).len(), 54, "half of what is left");
    }

    #[test]
    fn a_lonely_worker_serves_everybody() {
        let holdings = Holdings::default();
        let holding = holdings.begin("o0".to_owned());
        assert!(Shares::new(1, 50, holdings.now()).pick(lanes(&[0, 0]), 1).is_empty());
        drop(holding);
        assert!(holdings.now().is_empty());
        assert_eq!(Shares::new(1, 50, holdings.now()).pick(lanes(&[1, 1]), 1).len(), 1);
    }

    proptest! {
        #[test]
        fn nobody_holds_more_than_a_share_and_nobody_with_nothing_is_left_out(
            workers in 1_usize..40,
            percent in 1_usize..=50,
            claims in prop::collection::vec(prop::collection::vec(0_usize..8, 0..60), 1..6),
        ) {
            let mut shares = Shares::new(workers, percent, HashMap::new());
            for owners in claims {
                let before = shares.clone();
                let limit = workers - before.all;
                let picked = shares.pick(lanes(&owners), limit);
                prop_assert!(picked.len() <= limit);
                for owner in (0..8).map(|owner| format!("o{owner}")) {
                    let held = shares.held(&owner);
                    prop_assert_eq!(held, before.held(&owner) + count(&picked, &owner));
                    prop_assert!(held <= 1 || held <= workers / 2, "{} of {} workers", held, workers);
                    let waits = owners.iter().any(|one| format!("o{one}") == owner);
                    prop_assert!(held > 0 || !waits || shares.all == workers, "{} was left out", owner);
                    let ids: Vec<usize> = picked.iter().filter(|lane| lane.owner == owner)
                        .map(|lane| lane.id.parse().unwrap()).collect();
                    let first: Vec<usize> = owners.iter().enumerate()
                        .filter(|(_, one)| format!("o{one}") == owner).map(|(n, _)| n).take(ids.len()).collect();
                    prop_assert_eq!(ids, first, "the longest-ready of {} first", owner);
                }
            }
        }
    }
}
