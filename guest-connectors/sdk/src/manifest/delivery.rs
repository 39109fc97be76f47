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
}

impl DeliverySpec {
    /// Whether all of it is left to the host.
    pub(super) fn is_silent(&self) -> bool {
        *self == Self::default()
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
