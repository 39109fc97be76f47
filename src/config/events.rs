//! Limits of event streams. How many events are kept is the store's setting.

use serde::Deserialize;

/// Event streams.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// Streams open at once; further ones are refused with 503.
    pub streams: usize,
    /// How long a stream may be silent before it says that it is alive, in milliseconds.
    pub heartbeat_ms: u64,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { streams: 64, heartbeat_ms: 10_000 }
    }
}
