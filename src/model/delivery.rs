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

/// Where a delivery stands as a whole, by its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// A part was given up.
    DeadLettered,
    /// A part may or may not have arrived.
    Unknown,
    /// A byte of a part may have left.
    Sending,
    /// A part was tried and waits for its next attempt.
    Retrying,
    /// Parts wait for their turn in the lane.
    Pending,
    /// What was not sent yet was withdrawn by an operator.
    Cancelled,
    /// The target took every part.
    Delivered,
}

impl DeliveryState {
    /// The first of these that is true of any part. `parts` are statuses, each with whether the part was tried, be it for
    /// nothing that counts.
    pub fn of(parts: impl Iterator<Item = (DeliveryStatus, bool)>) -> Self {
        let states = parts.map(|(status, tried)| match status {
            DeliveryStatus::Dead => Self::DeadLettered,
            DeliveryStatus::Unknown => Self::Unknown,
            DeliveryStatus::Sending => Self::Sending,
            DeliveryStatus::Pending if tried => Self::Retrying,
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::Cancelled => Self::Cancelled,
            DeliveryStatus::Delivered => Self::Delivered,
        });
        // Parts behind a dead one are withdrawn with it, so what is worst says most.
        states.min_by_key(|state| *state as u8).unwrap_or(Self::Delivered)
    }
}

/// What follows when nobody knows whether a part arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// The part stays unknown, and what waits behind it goes on.
    #[default]
    Pass,
    /// Nothing behind it is sent until an operator has decided.
    Hold,
    /// It is sent again, under the same idempotency key. Safe where the receiver honours the key.
    Resend,
}

/// What a platform said of a part that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What the platform calls it.
    pub platform_id: Option<String>,
    /// What else it said, as JSON text.
    pub detail: Option<String>,
}

/// One part of a delivery, ready to be sent.
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
    /// Which part, from 0.
    pub part: i64,
    /// How many parts the delivery has.
    pub parts: i64,
    /// What it says.
    pub content: String,
    /// The files that go out with it: a JSON array.
    pub artifacts: String,
    /// The delivery that the idempotency key names: another one where this is its replay.
    pub origin: DeliveryId,
    /// What became of the parts before it that the platform took.
    pub sent: Vec<Receipt>,
    /// Failures of the lane without a success between.
    pub lane_failures: i64,
    /// Whether it is the one that is tried while its connector is paused, and then how many failed before it in this pause.
    pub probe: Option<i64>,
    /// When its run ended, in milliseconds since 1970.
    pub created_ms: i64,
    /// When this attempt or look-up began, in milliseconds since 1970.
    pub started_ms: i64,
    /// How often it was tried, this time included; for a look-up with the attempt in question.
    pub attempt: i64,
    /// The fence of the lane's lease.
    pub epoch: i64,
    /// It is not to be sent but to be looked up at its platform.
    pub look_up: Option<LookUp>,
}

/// A look-up of a part of which nobody knows whether it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUp {
    /// How often it was looked up in a row, this time included.
    pub count: i64,
    /// When the attempt in question began, in milliseconds since 1970.
    pub attempt_started_ms: i64,
}

impl Delivery {
    /// The same for every attempt, and for no other part and no other delivery.
    pub fn idempotency_key(&self) -> String {
        let Self { origin, part, .. } = self;
        if self.parts == 1 { format!("kheish:{origin}") } else { format!("kheish:{origin}:{part}") }
    }

    /// What streams are told of it.
    pub fn now(&self, status: DeliveryStatus, attempts: i64) -> DeliveryNow<'_> {
        let Self { id, run, session, target, .. } = self;
        DeliveryNow { id: *id, run: *run, session, plugin: &target.plugin, status, attempts }
    }
}
