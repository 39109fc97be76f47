//! What goes out through a plugin: one text to one route, and how an attempt at it ended.

use super::Effect;
pub use crate::model::artifact::Artifact;

/// One attempt, as the plugin gets it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The delivery's id.
    pub delivery_id: String,
    /// How often it was tried, this time included.
    pub attempt: u32,
    /// Where to, in the plugin's own form: a JSON object.
    pub route: String,
    /// What to say: one text that is as long as the kind allows. Empty where the part is a file.
    pub text: String,
    /// Files that go out with it.
    pub artifacts: Vec<Artifact>,
    /// Which part of the delivery this is, from 0.
    pub first_part: u32,
    /// How many parts the delivery has.
    pub part_count: u32,
    /// Receipts of the parts that the platform took before.
    pub sent: Vec<DeliveryReceipt>,
    /// Stable over all attempts of the part.
    pub idempotency_key: String,
    /// What the host knows beside it: a JSON object with `run_id` and `session_id`; for a look-up with
    /// `attempt_started_at_ms` too.
    pub metadata: String,
}

/// How an attempt ended, where the plugin answered at all.
#[derive(Debug)]
pub struct Attempt {
    /// What the platform made of it.
    pub outcome: Result<DeliveryReceipt, Failure>,
    /// Committed with what becomes of the delivery.
    pub effects: Vec<Effect>,
}

/// What a look-up found, where the plugin answered at all.
#[derive(Debug)]
pub struct Search {
    /// What became of the part.
    pub outcome: Result<Finding, Failure>,
    /// Committed with what follows.
    pub effects: Vec<Effect>,
}

/// What became of a part of which nobody knew whether it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The platform has it.
    Sent(DeliveryReceipt),
    /// The platform does not have it.
    Absent,
    /// The platform cannot tell.
    Undecidable,
}

/// The platform took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReceipt {
    /// What the platform calls it, 1 to 512 bytes.
    pub platform_id: Option<String>,
    /// What else it said: JSON text of at most 64 KiB.
    pub detail: String,
}

/// The platform did not take it, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What follows from it.
    pub kind: FailureKind,
    /// The platform's or the connector's own short code: 1 to 64 of `a-z 0-9 _ . -`.
    pub code: String,
    /// For people; at most 500 characters.
    pub reason: String,
    /// When the platform said to come back, in milliseconds from now. Who waits says how much of it counts.
    pub retry_after_ms: Option<i64>,
}

impl Failure {
    /// The wait that the platform asked for, in milliseconds, for whom no setting caps it: an hour at most.
    pub fn asked_ms(&self) -> Option<i64> {
        self.retry_after_ms.map(|wait| wait.clamp(0, 3_600_000))
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing was done; another try may succeed.
    Retryable,
    /// The platform may or may not have done it. Never repeated blindly.
    Unknown,
    /// Will not succeed however often it is tried.
    Terminal,
    /// The connector itself is locked out: a try spends no attempt.
    Unauthorized,
}
