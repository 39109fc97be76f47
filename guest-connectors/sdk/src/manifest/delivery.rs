//! How a kind wants its deliveries.

use serde::Serialize;

/// How outputs are sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct DeliverySpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<LengthUnit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caption: Option<usize>,
    pub(super) whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<UnknownPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) needs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) pace: Vec<Pace>,
}

impl DeliverySpec {
    /// Whether all of it is left to the host.
    pub(super) fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// A rate that the platform keeps. After a rest a burst may go at once (1 unless said), then one message each `per_ms` /
/// `amount`: any `per_ms` holds `amount` and `burst` together at the most, and one more where a message came late for its turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pace {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting: Option<&'static str>,
    amount: u32,
    per_ms: u32,
    burst: u32,
}

impl Pace {
    /// So many messages in so many milliseconds through one connector.
    pub fn of_all(amount: u32, per_ms: u32) -> Self {
        Self { by: None, starting: None, amount, per_ms, burst: 1 }
    }

    /// The same for each value of a member of the normalised route, which this JSON pointer names: `/channel_id`. Routes without
    /// it have no such rate.
    pub fn by(pointer: &'static str, amount: u32, per_ms: u32) -> Self {
        Self { by: Some(pointer), ..Self::of_all(amount, per_ms) }
    }

    /// Only for values that begin so, a number as it is written. Comes after [`Self::by`].
    #[must_use]
    pub fn starting(mut self, text: &'static str) -> Self {
        self.starting = Some(text);
        self
    }

    /// So many may go at once after a rest.
    #[must_use]
    pub fn burst(mut self, messages: u32) -> Self {
        self.burst = messages;
        self
    }
}

/// What the length of a text is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Bytes of UTF-8.
    Bytes,
    /// Code units of UTF-16.
    Utf16,
    /// Unicode scalar values.
    Scalars,
}

/// What follows when nobody knows whether a part arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// The part stays unknown, and what waits behind it goes on.
    Pass,
    /// Nothing behind it is sent until an operator has decided.
    Hold,
    /// It is sent again, under the same idempotency key, which the platform has to honour.
    Resend,
}
