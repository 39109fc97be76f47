//! What a kind says about the sign that an answer is on its way.

use serde::{Deserialize, Serialize};

/// How long a sign may last, in milliseconds.
pub(super) const LASTS_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;

/// The sign that an answer is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceSpec {
    /// How long the platform shows it, in milliseconds: 1,000 to 3,600,000.
    pub lasts_ms: u64,
}

impl Default for PresenceSpec {
    fn default() -> Self {
        Self { lasts_ms: 5_000 }
    }
}
