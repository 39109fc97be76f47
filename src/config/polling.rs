//! Waits of pollers.

use serde::Deserialize;

/// Waits of pollers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollSettings {
    /// The wait after a poll that failed, in milliseconds; twice as long after each further one.
    pub retry_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_retry_ms: u64,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self { retry_ms: 1_000, max_retry_ms: 60_000 }
    }
}
