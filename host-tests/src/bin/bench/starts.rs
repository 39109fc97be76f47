//! From spawn to the first 200 of `/readyz`.

use std::{fs, time::Instant};

use anyhow::Result;

use crate::{daemon::Place, figures::median, report::Settings, say};

/// Where the daemon keeps compiled code, in its state folder.
const COMPILED: &str = "compiled";

/// Starts on a state folder that exists; the files are in the system's cache.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Starts {
    /// Median with compiled code cached.
    pub(crate) cached_ms: f64,
    /// Median without.
    pub(crate) uncached_ms: f64,
    cached_each_ms: Vec<f64>,
    uncached_each_ms: Vec<f64>,
}

/// Starts and stops a daemon again and again.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Starts> {
    say("starts");
    place.start("starts").await?.stop().await?;
    let mut cached = Vec::new();
    let mut uncached = Vec::new();
    for _ in 0..settings.starts {
        cached.push(start(place).await?);
        fs::remove_dir_all(place.state("starts").join(COMPILED))?;
        uncached.push(start(place).await?);
    }
    Ok(Starts {
        cached_ms: median(cached.iter().copied())?,
        uncached_ms: median(uncached.iter().copied())?,
        cached_each_ms: cached,
        uncached_each_ms: uncached,
    })
}

async fn start(place: &Place) -> Result<f64> {
    let spawned = Instant::now();
    let daemon = place.start("starts").await?;
    let took = spawned.elapsed();
    daemon.stop().await?;
    Ok(took.as_secs_f64() * 1e3)
}
