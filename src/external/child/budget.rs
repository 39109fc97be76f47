//! When a child that ended is started again, and when it is not. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    config::sidecars::ChildSettings,
    delivery::backoff::{BackoffSettings, delay_ms},
};

/// What was spent of a child's starts.
#[derive(Debug, Default)]
pub(super) struct Budget {
    starts: VecDeque<Instant>,
    failures: i64,
}

impl Budget {
    /// Takes a start, or says that there is none left.
    pub(super) fn start(&mut self, settings: &ChildSettings, now: Instant) -> bool {
        let window = Duration::from_millis(settings.window_ms);
        while self.starts.front().is_some_and(|start| now.duration_since(*start) >= window) {
            self.starts.pop_front();
        }
        let left = self.starts.len() < settings.starts.max(1);
        if left {
            self.starts.push_back(now);
        }
        left
    }

    /// The wait after one more failure; `chance` decides where it lies below what the schedule says.
    pub(super) fn wait(&mut self, settings: &ChildSettings, chance: u32) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let schedule = BackoffSettings {
            initial_ms: settings.restart_ms,
            growth: 2,
            max_ms: settings.max_restart_ms,
            ..BackoffSettings::default()
        };
        Duration::from_millis(delay_ms(&schedule, self.failures, chance).unsigned_abs())
    }

    /// It was ready for long enough: waits begin anew.
    pub(super) fn settled(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_starts_in_a_window() {
        let settings = ChildSettings { starts: 2, window_ms: 1_000, ..ChildSettings::default() };
        let (mut budget, begin) = (Budget::default(), Instant::now());
        let mut at = |ms| budget.start(&settings, begin + Duration::from_millis(ms));
        assert_eq!([at(0), at(600), at(999), at(1_000), at(1_100), at(1_600)], [true, true, false, true, false, true]);
    }

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew() {
        let (settings, mut budget) = (ChildSettings::default(), Budget::default());
        let mut wait = |chance| budget.wait(&settings, chance).as_millis();
        let longest: Vec<u128> = (0..8).map(|_| wait(u32::MAX)).collect();
        assert_eq!(longest, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert!(wait(0) <= 3_000);
        budget.settled();
        assert_eq!(budget.wait(&settings, u32::MAX).as_millis(), 1_000);
    }
}
