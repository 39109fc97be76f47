//! Stage 6: get it there, or say why not.
//!
//! The dispatcher ([`dispatcher`]) leases lanes, sends the oldest delivery of each, to a URL ([`http`]) or through a
//! connector ([`connector`]), and settles it ([`settle`], transaction 4). What nobody knows of is looked up first
//! ([`look_up`]). Lanes run side by side, and workers are shared among those whom they lead to ([`share`]); a slow target holds
//! up nobody but itself. What a platform takes only so fast is sent no faster ([`pace`]), and what is not
//! there is not sent to ([`absent`]).

pub mod absent;
pub mod backoff;
pub mod connector;
pub mod destinations;
pub mod dispatcher;
pub mod http;
pub mod look_up;
pub mod operate;
pub mod pace;
pub mod parts;
pub mod pause;
pub mod policies;
pub mod sent;
pub mod settle;
pub mod share;
pub mod split;
pub mod take;
pub mod targets;

use serde::Deserialize;

use self::{backoff::BackoffSettings, pause::PauseSettings};
use crate::model::{delivery::UnknownPolicy, target::ReplyTarget};

/// How deliveries are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverySettings {
    /// Deliveries under way at once, each in a lane of its own.
    pub workers: usize,
    /// Of the workers that others leave, how many one connector or one URL's origin may hold, in percent; at least one.
    pub owner_percent: usize,
    /// How fast parts go through connectors whose kinds are paced, in percent of what the kinds say; with 0 they are not.
    pub pace_percent: u32,
    /// Lanes that have a place in the line of those that wait for a rate; others ask again when these have passed.
    pub pace_places: usize,
    /// Lease of a lane, in milliseconds; longer than any attempt may take.
    pub lease_ms: i64,
    /// How often work is looked for when no wake-up came, in milliseconds.
    pub poll_interval_ms: u64,
    /// The longest wait that a target can ask for, in milliseconds; what it asks for beyond that is cut to it.
    pub max_retry_after_ms: i64,
    /// How long after it was interrupted a part is looked up first, in milliseconds: platforms need a moment to find what
    /// they have just taken.
    pub look_up_after_ms: i64,
    /// When a connector that its platform has locked out is tried again.
    pub pause: PauseSettings,
    /// When a lane's target is left in peace.
    pub breaker: BreakerSettings,
    /// Deliveries to URLs.
    pub http: HttpDelivery,
    /// Deliveries through connectors: when to try again.
    pub connectors: BackoffSettings,
}

/// When a lane's target is left in peace.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Attempts in a row that failed and may succeed later; from so many on, one attempt is made after each cooldown.
    pub failures: i64,
    /// The cooldown, in milliseconds.
    pub cooldown_ms: i64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 10, cooldown_ms: 60_000 }
    }
}

/// How deliveries to URLs are repeated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpDelivery {
    /// Length of an address, in bytes: the URL, and what its JSON has beside it. It is stored with each run and each delivery.
    pub address_bytes: usize,
    /// What follows when nobody knows whether one arrived. Receivers are to honour the idempotency key.
    pub unknown: UnknownPolicy,
    /// The longest wait after the first attempt, in milliseconds.
    pub initial_ms: i64,
    /// How many times longer each further wait may be.
    pub growth: i64,
    /// The longest wait of all, in milliseconds.
    pub max_ms: i64,
    /// Attempts before a delivery is given up. Waits that the target asked for are not counted.
    pub max_attempts: i64,
    /// Age at which a delivery is given up, in milliseconds since its run ended.
    pub give_up_after_ms: i64,
}

impl Default for HttpDelivery {
    /// For machines, which are mended within days: 5 s, 30 s, 3 min, 18 min, 2 h, 11 h, then a day each.
    fn default() -> Self {
        Self {
            address_bytes: 8 * 1024,
            unknown: UnknownPolicy::Resend,
            initial_ms: 5_000,
            growth: 6,
            max_ms: 86_400_000,
            max_attempts: 10,
            give_up_after_ms: 259_200_000,
        }
    }
}

impl DeliverySettings {
    /// When to try a delivery to this target again.
    pub fn retry(&self, target: &ReplyTarget) -> BackoffSettings {
        if target.plugin != "http" {
            return self.connectors.clone();
        }
        let HttpDelivery { initial_ms, growth, max_ms, max_attempts, give_up_after_ms, .. } = self.http;
        BackoffSettings { initial_ms, growth, max_ms, max_attempts, give_up_after_ms }
    }
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            workers: 128,
            owner_percent: 50,
            pace_percent: 100,
            pace_places: 100_000,
            lease_ms: 60_000,
            poll_interval_ms: 1_000,
            max_retry_after_ms: 3_600_000,
            look_up_after_ms: 2_000,
            pause: PauseSettings::default(),
            breaker: BreakerSettings::default(),
            http: HttpDelivery::default(),
            connectors: BackoffSettings::default(),
        }
    }
}
