//! What exactly one of several daemons does.

use serde::Deserialize;

/// What exactly one of several daemons does.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DutySettings {
    /// How long a daemon that is gone keeps a duty, in milliseconds. It is renewed at a third of that.
    pub lease_ms: u64,
}

impl Default for DutySettings {
    fn default() -> Self {
        Self { lease_ms: 15_000 }
    }
}
