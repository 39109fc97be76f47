//! When to try again: exponential, with a wait drawn from nothing to the whole of what the schedule says, so that many failed
//! deliveries do not return as one wave. Pure.

use serde::Deserialize;

/// When to try again.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffSettings {
    /// The longest wait after the first attempt, in milliseconds.
    pub initial_ms: i64,
    /// How many times longer each further wait may be.
    pub growth: i64,
    /// The longest wait of all, in milliseconds.
    pub max_ms: i64,
    /// Attempts before a delivery is given up. Waits that the target asked for are not counted.
    pub max_attempts: i64,
    /// Age at which a delivery is given up, in milliseconds since its run ended.
    pub give_up_after_ms: i64,
}

impl Default for BackoffSettings {
    /// For people who wait for an answer: 1 s, 5 s, 25 s, 2 min, 10 min, 52 min, 2 h.
    fn default() -> Self {
        Self { initial_ms: 1_000, growth: 5, max_ms: 7_200_000, max_attempts: 9, give_up_after_ms: 21_600_000 }
    }
}

impl BackoffSettings {
    /// Why nothing follows on this attempt (from 1), when the next one would begin at this age, in milliseconds: it was the
    /// last, or the next one would be too late. None when one follows.
    pub fn end(&self, attempt: i64, next_age_ms: i64) -> Option<String> {
        if attempt >= self.max_attempts {
            return Some(format!("attempt {attempt}, the last"));
        }
        (next_age_ms > self.give_up_after_ms).then(|| "given up: the next attempt would be too late".to_owned())
    }
}

/// The wait after `attempt` (from 1), in milliseconds: at most what the schedule says, as `chance` decides, and at least a
/// twentieth of it. That floor is kept so that a wait is never none: a target that has just failed is not asked again at once.
///
/// ```
/// use kheish::delivery::backoff::{BackoffSettings, delay_ms};
///
/// let settings = BackoffSettings { initial_ms: 1_000, growth: 2, max_ms: 60_000, ..BackoffSettings::default() };
/// assert_eq!(delay_ms(&settings, 1, u32::MAX), 1_000);
/// assert_eq!(delay_ms(&settings, 3, 0), 200);
/// assert_eq!(delay_ms(&settings, 20, u32::MAX), 60_000);
/// ```
pub fn delay_ms(settings: &BackoffSettings, attempt: i64, chance: u32) -> i64 {
    let steps = u32::try_from(attempt.saturating_sub(1).clamp(0, 64)).unwrap_or(64);
    let growth = settings.growth.max(1).saturating_pow(steps);
    let ceiling = settings.initial_ms.saturating_mul(growth).min(settings.max_ms).max(1);
    let floor = ceiling / 20;
    // The product can be larger than 64 bits hold.
    let drawn = i128::from(ceiling - floor) * i128::from(chance) / i128::from(u32::MAX);
    floor + i64::try_from(drawn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attempts_end_by_number_or_age() {
        let settings = BackoffSettings { max_attempts: 3, give_up_after_ms: 100, ..BackoffSettings::default() };
        assert_eq!(settings.end(2, 100), None);
        assert_eq!(settings.end(3, 0).as_deref(), Some("attempt 3, the last"));
        assert_eq!(settings.end(4, 101).as_deref(), Some("attempt 4, the last"));
        assert!(settings.end(1, 101).is_some_and(|why| why.contains("too late")));
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_schedule(attempt in 0i64..1_000, chance: u32) {
            let settings = BackoffSettings { growth: 2, max_ms: 60_000, ..BackoffSettings::default() };
            let wait = delay_ms(&settings, attempt, chance);
            let ceiling = (1_000i64 << (attempt.clamp(1, 7) - 1)).min(60_000);
            prop_assert!(wait >= ceiling / 20 && wait <= ceiling && wait > 0);
        }

        #[test]
        fn later_attempts_never_wait_less(attempt in 1i64..100, chance: u32) {
            let settings = BackoffSettings::default();
            prop_assert!(delay_ms(&settings, attempt + 1, chance) >= delay_ms(&settings, attempt, chance));
        }
    }
}
