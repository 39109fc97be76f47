//! Events of one group, which become one run.

use serde::Deserialize;

/// Bounds of a group of events.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatherSettings {
    /// How long a run waits at most for further events of its group, from the first one on, in milliseconds.
    pub longest_ms: u64,
    /// Events of one run, 1 at least; further ones of the group begin another.
    pub max_events: usize,
}

impl Default for GatherSettings {
    fn default() -> Self {
        Self { longest_ms: 15_000, max_events: 16 }
    }
}
