//! When to try again: exponential with jitter over the upper half, so that many failed deliveries do not return as one wave. Pure.

use serde::Deserialize;

/// When to try again.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffSettings {
    /// The longest wait after the first attempt, in milliseconds; it doubles with each further one.
    pub initial_ms: i64,
    /// The longest wait of all, in milliseconds.
    pub max_ms: i64,
    /// Attempts before a delivery is given up. Waits that the target asked for are not counted.
    pub max_attempts: i64,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { initial_ms: 1_000, max_ms: 60_000, max_attempts: 8 }
    }
}

/// The wait after `attempt` (from 1), in milliseconds: at least half and at most all of what the schedule says, as
/// `chance` decides. Half is kept, so that a wait is never none.
///
/// ```
/// use kheish::delivery::backoff::{BackoffSettings, delay_ms};
///
/// let settings = BackoffSettings { initial_ms: 1_000, max_ms: 60_000, max_attempts: 8 };
/// assert_eq!(delay_ms(&settings, 1, u32::MAX), 1_000);
/// assert_eq!(delay_ms(&settings, 3, 0), 2_000);
/// assert_eq!(delay_ms(&settings, 20, u32::MAX), 60_000);
/// ```
pub fn delay_ms(settings: &BackoffSettings, attempt: i64, chance: u32) -> i64 {
    let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 32)).unwrap_or(32);
    let ceiling = settings.initial_ms.saturating_mul(1 << doublings).min(settings.max_ms).max(1);
    let half = ceiling / 2;
    half + (ceiling - half) * i64::from(chance) / i64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_the_schedule(attempt in 0i64..1_000, chance: u32) {
            let settings = BackoffSettings::default();
            let wait = delay_ms(&settings, attempt, chance);
            let ceiling = (1_000i64 << (attempt.clamp(1, 7) - 1)).min(60_000);
            prop_assert!(wait >= ceiling / 2 && wait <= ceiling);
        }

        #[test]
        fn later_attempts_never_wait_less(attempt in 1i64..100, chance: u32) {
            let settings = BackoffSettings::default();
            prop_assert!(delay_ms(&settings, attempt + 1, chance) >= delay_ms(&settings, attempt, chance));
        }
    }
}
