//! How many refusals an address gets in full before it is told to wait. Held in memory; time is passed in.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use super::failure::Failure;

/// Buckets held at once (contract section 1.1); then the oldest goes.
const BUCKETS: usize = 4096;

/// What an IPv6 peer can choose freely: the lower half of its address.
const IPV6_NETWORK: u128 = !0 << 64;

/// Counts failures by reason and address.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u32,
    window_ms: u64,
    buckets: Mutex<Buckets>,
}

/// What a failure gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// Its own answer.
    Within,
    /// "Come back in so many milliseconds". `first`: nothing over the limit was said in this window before.
    Over {
        /// Milliseconds until the window ends, at least 1.
        wait_ms: u64,
        /// Whether this is the first of the window.
        first: bool,
    },
}

type Key = (Failure, IpAddr);

#[derive(Debug, Default)]
struct Buckets {
    counts: HashMap<Key, Bucket>,
    /// Keys in the order in which their windows began.
    order: VecDeque<(i64, Key)>,
}

#[derive(Debug)]
struct Bucket {
    began_ms: i64,
    failures: u32,
}

impl Budget {
    /// So many failures in a window of so many milliseconds, which begins with the first of them.
    pub(super) fn new(limit: u32, window_ms: u64) -> Self {
        Self { limit, window_ms: window_ms.max(1), buckets: Mutex::default() }
    }

    /// Counts a failure.
    pub(super) fn spend(&self, failure: Failure, remote: IpAddr, now_ms: i64) -> Spent {
        let key = (failure, network(remote));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.forget(|began_ms| self.left(began_ms, now_ms).is_none());
        if !buckets.counts.contains_key(&key) {
            buckets.begin(key, now_ms);
        }
        let Some(bucket) = buckets.counts.get_mut(&key) else { return Spent::Within };
        bucket.failures = bucket.failures.saturating_add(1);
        if bucket.failures <= self.limit {
            return Spent::Within;
        }
        let wait_ms = self.left(bucket.began_ms, now_ms).unwrap_or(1);
        Spent::Over { wait_ms, first: bucket.failures == self.limit.saturating_add(1) }
    }

    /// What is left of a window. A clock that went back behind its beginning has ended it.
    fn left(&self, began_ms: i64, now_ms: i64) -> Option<u64> {
        let passed = u64::try_from(now_ms.checked_sub(began_ms)?).ok()?;
        self.window_ms.checked_sub(passed).filter(|left| *left > 0)
    }
}

impl Buckets {
    /// Drops those from the front whose window is over.
    fn forget(&mut self, is_over: impl Fn(i64) -> bool) {
        while let Some((began_ms, key)) = self.order.front()
            && is_over(*began_ms)
        {
            self.counts.remove(key);
            self.order.pop_front();
        }
    }

    fn begin(&mut self, key: Key, now_ms: i64) {
        if self.counts.len() >= BUCKETS
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.counts.insert(key, Bucket { began_ms: now_ms, failures: 0 });
        self.order.push_back((now_ms, key));
    }
}

fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_window_begins_with_the_first_failure_and_ends() {
        let budget = Budget::new(2, 1_000);
        let spend = |now_ms| budget.spend(Failure::InvalidToken, v4(1), now_ms);
        assert_eq!((spend(5_000), spend(5_100)), (Spent::Within, Spent::Within));
        assert_eq!(spend(5_400), Spent::Over { wait_ms: 600, first: true });
        assert_eq!(spend(5_999), Spent::Over { wait_ms: 1, first: false });
        assert_eq!(spend(6_000), Spent::Within);
        // The clock goes back: nobody waits for it to catch up.
        assert_eq!((spend(100), spend(100)), (Spent::Within, Spent::Within));
    }

    #[test]
    fn reasons_and_networks_have_buckets_of_their_own() {
        let budget = Budget::new(1, 1_000);
        let spend = |failure, remote: &str| budget.spend(failure, remote.parse().unwrap(), 1) == Spent::Within;
        assert!(spend(Failure::InvalidToken, "10.0.0.1"));
        assert!(!spend(Failure::InvalidToken, "::ffff:10.0.0.1"));
        assert!(spend(Failure::MissingToken, "10.0.0.1"));
        assert!(spend(Failure::InvalidToken, "10.0.0.2"));
        assert!(spend(Failure::InvalidToken, "2001:db8:0:1::1"));
        assert!(!spend(Failure::InvalidToken, "2001:db8:0:1:ffff::2"));
        assert!(spend(Failure::InvalidToken, "2001:db8:0:2::1"));
    }

    #[test]
    fn the_oldest_bucket_makes_room() {
        let budget = Budget::new(1, 1_000_000);
        for number in 0..=u32::try_from(BUCKETS).unwrap() {
            assert_eq!(budget.spend(Failure::InvalidToken, v4(number), i64::from(number)), Spent::Within);
        }
        assert_eq!(budget.buckets.lock().unwrap().counts.len(), BUCKETS);
        assert_eq!(budget.spend(Failure::InvalidToken, v4(0), 5_000), Spent::Within, "it was forgotten");
        assert_ne!(budget.spend(Failure::InvalidToken, v4(7), 5_000), Spent::Within, "it was not");
    }

    proptest! {
        #[test]
        fn no_address_gets_more_than_the_limit_in_a_window(
            limit in 1u32..6,
            steps in prop::collection::vec((0i64..400, 0u32..3), 1..300),
        ) {
            let budget = Budget::new(limit, 1_000);
            let mut now_ms = 10_000;
            // By address: when the window began, and how many were within it.
            let mut model: HashMap<u32, (i64, u32)> = HashMap::new();
            for (step, address) in steps {
                now_ms += step;
                let window = model.entry(address).or_insert((now_ms, 0));
                if now_ms - window.0 >= 1_000 {
                    *window = (now_ms, 0);
                }
                window.1 += 1;
                let spent = budget.spend(Failure::InvalidToken, v4(address), now_ms);
                prop_assert_eq!(spent == Spent::Within, window.1 <= limit);
                let buckets = budget.buckets.lock().unwrap();
                prop_assert_eq!(buckets.order.len(), buckets.counts.len());
            }
        }
    }
}
