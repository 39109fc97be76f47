//! Signs at platforms that an answer is on its way.

use serde::Deserialize;

/// Signs at platforms that an answer is on its way.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceSettings {
    /// Runs that show signs at once; further ones show none. 0 switches signs off.
    pub concurrent_runs: usize,
    /// How long a run is performed before its first sign, in milliseconds: quick ones show none.
    pub delay_ms: u64,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self { concurrent_runs: 256, delay_ms: 300 }
    }
}
