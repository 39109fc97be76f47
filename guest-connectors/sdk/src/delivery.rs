//! What goes out: one delivery on one route, and how sending it ended.

use crate::{Failure, FailureKind, Part, Receipt};

/// Something to send.
#[derive(Clone, Debug)]
pub struct Outgoing<R> {
    /// The delivery's id.
    pub delivery_id: String,
    /// How often it was tried, this time included.
    pub attempt: u32,
    /// Where to: an event's own reply route, or one that [`Delivery::check_route`](crate::Delivery::check_route) passed.
    pub route: R,
    /// What to send.
    pub parts: Vec<Part>,
    /// Position of the first part in the delivery.
    pub first_part: u32,
    /// How many parts the delivery has.
    pub part_count: u32,
    /// Receipts of the parts that went before.
    pub sent: Vec<Receipt>,
    /// Stable over retries of the same part.
    pub idempotency_key: String,
    /// A JSON object with `run_id` and `session_id`.
    pub metadata: String,
}

impl<R> Outgoing<R> {
    /// The text of its parts, joined.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Artifact(_) => None,
        });
        texts.collect()
    }
}

impl Receipt {
    /// The platform took it under this id, of 1 to 512 bytes.
    pub fn id(platform_id: impl Into<String>) -> Self {
        Self { platform_id: Some(platform_id.into()), ..Self::nameless() }
    }

    /// The platform took it and gave it no name.
    pub fn nameless() -> Self {
        Self { platform_id: None, detail: "null".to_owned() }
    }
}

impl Failure {
    /// Nothing was done; another try may succeed. `code` is short and stable, of `a-z 0-9 _ . -`; `reason` is for people.
    pub fn retryable(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Retryable, code, reason)
    }

    /// The platform may or may not have done it: it is not repeated.
    pub fn unknown(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Unknown, code, reason)
    }

    /// It will not succeed however often it is tried.
    pub fn terminal(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Terminal, code, reason)
    }

    /// The connector itself is locked out: a revoked token, a wrong secret. Tries spend no attempts.
    pub fn unauthorized(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Unauthorized, code, reason)
    }

    /// The platform asked to wait so many milliseconds.
    #[must_use]
    pub fn after_ms(mut self, wait: u64) -> Self {
        self.retry_after_ms = Some(wait);
        self
    }

    fn new(kind: FailureKind, code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, code: code.into(), reason: reason.into(), retry_after_ms: None }
    }
}
