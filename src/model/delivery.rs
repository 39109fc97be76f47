//! Deliveries: one output on its way to one reply target.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    happening::DeliveryNow,
    ids::{DeliveryId, RunId, SessionId},
    target::ReplyTarget,
};

/// Where a part of a delivery stands.
// The numbers are what the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(i64)]
pub enum DeliveryStatus {
    /// Waits for its turn in the lane, or for its next attempt.
    Pending = 0,
    /// A byte may have left.
    Sending = 1,
    /// The target took it.
    Delivered = 2,
    /// It may or may not have arrived.
    Unknown = 3,
    /// Given up.
    #[serde(rename = "dead_lettered")]
    Dead = 4,
    /// Withdrawn by an operator.
    Cancelled = 5,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sending, Self::Delivered, Self::Unknown, Self::Dead, Self::Cancelled];

    /// Reads what the store keeps.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i64 == code)
    }
}

/// One delivery, ready to be sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// The run whose output it carries.
    pub run: RunId,
    /// The run's session.
    pub session: SessionId,
    /// Where it goes.
    pub target: ReplyTarget,
    /// What it says.
    pub content: String,
    /// How often it was tried, this time included.
    pub attempt: i64,
    /// The fence of the lane's lease.
    pub epoch: i64,
}

impl Delivery {
    /// The same for every attempt, and for no other delivery.
    pub fn idempotency_key(&self) -> String {
        format!("kheish:{}", self.id)
    }

    /// What streams are told of it.
    pub fn now(&self, status: DeliveryStatus, attempts: i64) -> DeliveryNow<'_> {
        let Self { id, run, session, target, .. } = self;
        DeliveryNow { id: *id, run: *run, session, plugin: &target.plugin, status, attempts }
    }
}
