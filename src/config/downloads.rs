//! Files of events that are fetched once the event is durable.

use serde::Deserialize;

use crate::delivery::backoff::BackoffSettings;

/// How files of events are fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DownloadSettings {
    /// How often files that are due are looked for when nothing says so, in milliseconds.
    pub poll_interval_ms: u64,
    /// When to try again, and when to give a file up. Its run waits until then.
    pub retry: BackoffSettings,
}

impl Default for DownloadSettings {
    fn default() -> Self {
        let retry =
            BackoffSettings { initial_ms: 500, growth: 3, max_ms: 60_000, max_attempts: 8, give_up_after_ms: 300_000 };
        Self { poll_interval_ms: 1_000, retry }
    }
}
