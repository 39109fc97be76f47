//! A token bucket per connector: capacity is the rate, full at start, memory only (contract section 3.1).

use std::sync::{Mutex, PoisonError};

/// Tokens are counted in thousandths, so that a millisecond at one per second is a whole number.
const TOKEN: u64 = 1000;

/// Limits accepted events per second. Time is passed in. A plain mutex: it is held for a few additions.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    thousandths: u64,
    filled_ms: i64,
}

impl RateLimit {
    /// A full bucket; a rate of 0 counts as 1.
    pub fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second.max(1));
        Self { per_second, bucket: Mutex::new(Bucket { thousandths: per_second * TOKEN, filled_ms: i64::MIN }) }
    }

    /// Accepted events per second.
    pub fn per_second(&self) -> u32 {
        u32::try_from(self.per_second).unwrap_or(u32::MAX)
    }

    /// Takes so many tokens, all or none; says in how many milliseconds there will be enough, at least 1. More than the
    /// bucket can hold count as a full bucket.
    pub fn try_take(&self, now_ms: i64, tokens: u64) -> Result<(), u64> {
        let wanted = self.capped(tokens.saturating_mul(TOKEN));
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that went backwards adds nothing.
        let passed = now_ms.saturating_sub(bucket.filled_ms).max(0).unsigned_abs();
        bucket.thousandths = self.capped(bucket.thousandths.saturating_add(passed.saturating_mul(self.per_second)));
        bucket.filled_ms = bucket.filled_ms.max(now_ms);
        match bucket.thousandths.checked_sub(wanted) {
            Some(left) => {
                bucket.thousandths = left;
                Ok(())
            }
            None => Err((wanted - bucket.thousandths).div_ceil(self.per_second).max(1)),
        }
    }

    /// Returns tokens that nothing was accepted for.
    pub fn give_back(&self, tokens: u64) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.thousandths = self.capped(bucket.thousandths.saturating_add(tokens.saturating_mul(TOKEN)));
    }

    fn capped(&self, thousandths: u64) -> u64 {
        thousandths.min(self.per_second * TOKEN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_empties_and_refills() {
        let rate = RateLimit::new(2);
        assert_eq!(rate.try_take(1_000, 1), Ok(()));
        assert_eq!(rate.try_take(1_000, 1), Ok(()));
        assert_eq!(rate.try_take(1_000, 1), Err(500));
        assert_eq!(rate.try_take(1_499, 1), Err(1));
        assert_eq!(rate.try_take(1_500, 1), Ok(()));
        rate.give_back(1);
        assert_eq!(rate.try_take(1_500, 1), Ok(()));
    }

    #[test]
    fn several_are_taken_together_or_not_at_all() {
        let rate = RateLimit::new(2);
        assert_eq!(rate.try_take(1_000, 1), Ok(()));
        assert_eq!(rate.try_take(1_000, 2), Err(500));
        assert_eq!(rate.try_take(1_000, 1), Ok(()));
        assert_eq!(rate.try_take(2_000, 64), Ok(()), "a batch beyond the bucket waits for a full one");
    }

    proptest! {
        #[test]
        fn never_more_than_a_bucket_and_what_flows_in(rate in 1u32..200, steps in prop::collection::vec(0i64..300, 1..400)) {
            let limit = RateLimit::new(rate);
            let mut now = 5_000;
            let mut taken = 0u64;
            for step in steps {
                now += step;
                match limit.try_take(now, 1) {
                    Ok(()) => taken += 1,
                    Err(wait) => prop_assert!(limit.try_take(now + i64::try_from(wait).unwrap() - 1, 1).is_err() || wait == 1),
                }
            }
            let passed = u64::try_from(now - 5_000).unwrap() + 300;
            prop_assert!(taken <= u64::from(rate) + passed * u64::from(rate) / 1000 + 1);
        }
    }
}
