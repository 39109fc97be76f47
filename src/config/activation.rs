//! Registering connectors at their platforms.

use serde::Deserialize;

/// Registering connectors at their platforms.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivationSettings {
    /// Where platforms reach the daemon, without a path below which it does not answer: `https://host.example`. Connectors
    /// that need it say so when it is absent.
    pub public_url: Option<String>,
    /// From one look at what the platform has on record to the next, in milliseconds.
    pub interval_ms: u64,
    /// The wait after a failure, in milliseconds; twice as long after each further one, up to the interval.
    pub retry_ms: u64,
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self { public_url: None, interval_ms: 60_000, retry_ms: 1_000 }
    }
}
