//! How a poller fares, for whoever looks at its connector.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How a poller fares, or what registers a connector. Shared by the poller and those who look.
#[derive(Debug, Default)]
pub struct PollState(Mutex<PollStatus>);

/// How a poller fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PollStatus {
    /// When the platform last answered, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub answered_at_ms: Option<i64>,
    /// Calls that failed since then.
    pub failures: u32,
    /// Why the last of them failed, or why none is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_error: Option<PollError>,
}

/// Why a poll failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PollError {
    /// The platform's or the connector's own short code.
    pub code: String,
    /// For people.
    pub reason: String,
}

impl PollState {
    /// How it fares now.
    pub fn status(&self) -> PollStatus {
        self.lock().clone()
    }

    /// The platform answered. Says whether it had not, or was not asked, before.
    pub(in crate::ingress) fn answer(&self, now_ms: i64) -> bool {
        let mut status = self.lock();
        let failed = status.last_error.is_some();
        *status = PollStatus { answered_at_ms: Some(now_ms), ..PollStatus::default() };
        failed
    }

    /// A poll failed. Gives how many have in a row, and whether this one says something new.
    pub(in crate::ingress) fn fail(&self, code: &str, reason: &str) -> (u32, bool) {
        let mut status = self.lock();
        status.failures = status.failures.saturating_add(1);
        (status.failures, status.explain(code, reason))
    }

    /// It does not poll at all, which is no failure. Says whether that is new.
    pub(super) fn refuse(&self, code: &str, reason: &str) -> bool {
        self.lock().explain(code, reason)
    }

    fn lock(&self) -> MutexGuard<'_, PollStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollStatus {
    /// Says whether the code is another one than before.
    fn explain(&mut self, code: &str, reason: &str) -> bool {
        let news = self.last_error.as_ref().is_none_or(|error| error.code != code);
        self.last_error = Some(PollError { code: code.to_owned(), reason: reason.to_owned() });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_news_once() {
        let state = PollState::default();
        assert_eq!(state.fail("a", "x"), (1, true));
        assert_eq!(state.fail("a", "y"), (2, false));
        assert_eq!(state.fail("b", "x"), (3, true));
        assert!(state.answer(5) && !state.answer(6));
        assert_eq!(state.status(), PollStatus { answered_at_ms: Some(6), ..PollStatus::default() });
        assert_eq!(state.fail("b", "x"), (1, true));
    }

    #[test]
    fn what_does_not_poll_has_not_failed() {
        let state = PollState::default();
        assert!(state.refuse("elsewhere", "x") && !state.refuse("elsewhere", "x"));
        assert_eq!(state.status().failures, 0);
        assert!(state.answer(5), "it is told that it polls again");
        assert_eq!(state.fail("a", "x"), (1, true));
        assert!(state.refuse("elsewhere", "x"));
        assert_eq!(state.fail("a", "x"), (2, true));
    }
}
