//! Stage 6: get it there, or say why not.
//!
//! The dispatcher ([`dispatcher`]) leases lanes, sends the oldest delivery of each, to a URL ([`http`]) or through a
//! connector ([`connector`]), and settles it ([`settle`], transaction 4). Lanes run side by side; a slow target holds up nobody but itself.

pub mod backoff;
pub mod connector;
pub mod destinations;
pub mod dispatcher;
pub mod http;
pub mod sent;
pub mod settle;
pub mod split;
pub mod take;
pub mod targets;

use serde::Deserialize;

/// How deliveries are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverySettings {
    /// Deliveries under way at once, each in a lane of its own.
    pub workers: usize,
    /// Lease of a lane, in milliseconds; longer than any attempt may take.
    pub lease_ms: i64,
    /// How often work is looked for when no wake-up came, in milliseconds.
    pub poll_interval_ms: u64,
    /// When to try again.
    pub backoff: backoff::BackoffSettings,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { workers: 64, lease_ms: 60_000, poll_interval_ms: 1_000, backoff: backoff::BackoffSettings::default() }
    }
}
