//! Stage 3: one active run per session, the others in arrival order.
//!
//! A worker leases a session and gets its oldest run ([`claim`], transaction 2). The lease is fenced: its epoch only
//! grows, and every later write names it. A lease that ends without an answer gives the run back ([`rescue`]). Whoever
//! asks for the end of a run ([`cancel`]) is heeded by all of them.

pub mod cancel;
pub mod claim;
pub mod hold;
pub mod rescue;

use serde::Deserialize;

/// How runs are leased.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Lease of the daemon's own executors, and of workers that ask for none, in milliseconds.
    pub default_lease_ms: i64,
    /// Runs that the daemon's own executors perform at once.
    pub concurrent_runs: usize,
    /// Claims of one run that may end without an answer; then it fails, and its session moves on.
    pub max_attempts: i64,
    /// How often ended leases are looked for, in milliseconds.
    pub sweep_interval_ms: u64,
    /// How often work is looked for when no wake-up came, in milliseconds.
    pub poll_interval_ms: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            default_lease_ms: 60_000,
            concurrent_runs: 64,
            max_attempts: 5,
            sweep_interval_ms: 1_000,
            poll_interval_ms: 1_000,
        }
    }
}
