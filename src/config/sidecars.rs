//! Bounds of what sidecars send, and how often they are looked at.

use serde::Deserialize;

/// Bounds of what sidecars send (contract section 4.4), and how often they are looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SidecarSettings {
    /// Events of one batch.
    pub batch_events: usize,
    /// The text of an event, in bytes.
    pub content_bytes: usize,
    /// Pieces of an event's content.
    pub input_items: usize,
    /// Files of an event beside its text.
    pub attachments: usize,
    /// A file that comes with an event, decoded, in bytes.
    pub inline_bytes: usize,
    /// An event's id, its routing key, and its path in all, each in bytes: they become names in the store.
    pub identity_bytes: usize,
    /// What is read of a sidecar's answer, in bytes; a longer one counts as none.
    pub response_bytes: usize,
    /// How long a sidecar may take to say what it is and how it fares, in milliseconds.
    pub probe_timeout_ms: u64,
    /// How long what it said of itself is believed, in milliseconds.
    pub manifest_ttl_ms: u64,
    /// The wait between two looks at how it fares, in milliseconds.
    pub health_interval_ms: u64,
    /// The same after a look without an answer; twice as long after each further one, up to `health_interval_ms`.
    pub health_retry_ms: u64,
}

impl Default for SidecarSettings {
    fn default() -> Self {
        Self {
            batch_events: 64,
            content_bytes: 1024 * 1024,
            input_items: 64,
            attachments: 10,
            inline_bytes: 1024 * 1024,
            identity_bytes: 4096,
            response_bytes: 64 * 1024,
            probe_timeout_ms: 3_000,
            manifest_ttl_ms: 300_000,
            health_interval_ms: 15_000,
            health_retry_ms: 1_000,
        }
    }
}
