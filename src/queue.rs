//! Stage 3: one active run per session, the others in arrival order.
//!
//! A worker leases a session and gets its oldest run ([`claim`], transaction 2). The lease is fenced: its epoch only
//! grows, and every later write names it. A lease that ends without an answer gives the run back ([`rescue`]). Whoever
//! asks for the end of a run ([`cancel`]) is heeded by all of them.

pub mod cancel;
pub mod claim;
pub mod hand_over;
pub mod hold;
pub mod rescue;
mod waits;

use serde::Deserialize;

/// How runs are leased.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Lease of the daemon's own executors, and of workers that ask for none, in milliseconds.
    pub default_lease_ms: i64,
    /// Runs that the daemon's own executors perform at once.
    pub concurrent_runs: usize,
    /// Claims of one run that may end without an answer; then it fails, and its session moves on.
    pub max_attempts: i64,
    /// How long a run waits after an attempt of the daemon's own executors that another may mend, in milliseconds; twice
    /// as long after each further one.
    pub retry_wait_ms: i64,
    /// The longest such wait, unless somebody asked for a longer one.
    pub retry_wait_max_ms: i64,
    /// The longest wait that somebody may ask for, with `Retry-After`.
    pub max_retry_after_ms: i64,
    /// How often ended leases are looked for, in milliseconds.
    pub sweep_interval_ms: u64,
    /// How often work is looked for when no wake-up came, in milliseconds.
    pub poll_interval_ms: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            default_lease_ms: 60_000,
            concurrent_runs: 64,
            max_attempts: 5,
            retry_wait_ms: 1_000,
            retry_wait_max_ms: 60_000,
            max_retry_after_ms: 3_600_000,
            sweep_interval_ms: 1_000,
            poll_interval_ms: 1_000,
        }
    }
}

impl QueueSettings {
    /// How long a run waits after so many attempts without an answer, in milliseconds; not shorter than what was asked for, up to
    /// the longest wait that may be.
    pub fn wait_ms(&self, attempts: i64, asked_ms: i64) -> i64 {
        let doublings = u32::try_from((attempts - 1).clamp(0, 30)).unwrap_or(0);
        let wait_ms = self.retry_wait_ms.saturating_mul(1 << doublings);
        wait_ms.min(self.retry_wait_max_ms).max(asked_ms.min(self.max_retry_after_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_shorter_than_asked_for() {
        let settings = QueueSettings::default();
        let waits = [1, 2, 3, 7, 1_000_000].map(|attempts| settings.wait_ms(attempts, 0));
        assert_eq!(waits, [1_000, 2_000, 4_000, 60_000, 60_000]);
        assert_eq!(settings.wait_ms(1, 90_000), 90_000);
        assert_eq!(settings.wait_ms(2, 1_500), 2_000);
        assert_eq!(settings.wait_ms(1, i64::MAX), settings.max_retry_after_ms);
    }
}
