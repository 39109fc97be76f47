//! Guest calls without HTTP, as the daemon itself times them.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{daemon::Place, say};

/// What `kheishd bench guest` prints.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Guest {
    /// Calls that were timed.
    pub(crate) calls: u64,
    /// Size of the event that each parsed.
    pub(crate) event_bytes: u64,
    /// The median, in microseconds: instantiate, call, drop.
    pub(crate) p50_us: f64,
    /// All but one in a hundred were shorter.
    pub(crate) p99_us: f64,
    /// The mean.
    pub(crate) mean_us: f64,
    /// From the file's bytes to a plugin that can be called, compiling.
    pub(crate) compile_cold_ms: f64,
    /// The same with compiled code on disk.
    pub(crate) load_cached_ms: f64,
}

/// Times calls of the bundled guest.
pub(crate) fn measure(place: &Place, calls: u64) -> Result<Guest> {
    say("guest calls");
    let printed = place.run(|command| {
        command.args(["guest", "--calls", &calls.to_string(), "--plugin"]).arg(place.guest());
    })?;
    serde_json::from_slice(&printed).context("reading what `kheishd bench guest` printed")
}
