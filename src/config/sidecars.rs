//! Bounds of what sidecars send, how often they are looked at, and how those are kept that the daemon starts.

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
    /// Sidecars that the daemon starts.
    pub child: ChildSettings,
}

/// How sidecars are kept that the daemon starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChildSettings {
    /// How long one may take from its start until it is ready, in milliseconds.
    pub start_timeout_ms: u64,
    /// From one look to the next meanwhile, in milliseconds.
    pub start_poll_ms: u64,
    /// Looks in a row without a usable answer after which one that was ready is started again.
    pub health_failures: u32,
    /// The longest wait before the first further start, in milliseconds; twice as long before each one after it. Drawn at
    /// random below that.
    pub restart_ms: i64,
    /// The longest such wait of all, in milliseconds.
    pub max_restart_ms: i64,
    /// How long one must be ready for waits to begin anew, in milliseconds.
    pub settled_ms: u64,
    /// Starts within `window_ms`; after these it stays down until an operator acts.
    pub starts: usize,
    /// The time in which starts are counted, in milliseconds.
    pub window_ms: u64,
    /// From asking one to end to killing it, in milliseconds.
    pub stop_grace_ms: u64,
    /// A line of its output, in bytes; the rest is cut off.
    pub line_bytes: usize,
    /// Lines of its output per second; further ones are counted.
    pub lines_per_second: u32,
    /// Output that is read per second, in bytes; one that writes more has to wait.
    pub output_bytes_per_second: usize,
    /// How long a lease of a credential lasts from the last fetch, in milliseconds.
    pub lease_ms: i64,
    /// Refused fetches of credentials per minute and connector that are answered in full; then 429.
    pub credential_failures: u32,
}

impl Default for ChildSettings {
    fn default() -> Self {
        Self {
            start_timeout_ms: 20_000,
            start_poll_ms: 250,
            health_failures: 3,
            restart_ms: 1_000,
            max_restart_ms: 60_000,
            settled_ms: 60_000,
            starts: 10,
            window_ms: 600_000,
            stop_grace_ms: 10_000,
            line_bytes: 4 * 1024,
            lines_per_second: 100,
            output_bytes_per_second: 1024 * 1024,
            lease_ms: 300_000,
            credential_failures: 60,
        }
    }
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
            child: ChildSettings::default(),
        }
    }
}
