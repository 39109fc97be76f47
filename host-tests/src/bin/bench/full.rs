//! The accept rate on a store that holds many receipts, against an empty one; and what an event takes on disk.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    daemon::{Daemon, Place},
    figures::median,
    load::{self, Round},
    rates::{GUEST, per_second},
    report::Settings,
    say,
};

/// The daemon's database, in its state folder.
const DATABASE: &str = "kheish.db";

/// A full store against an empty one.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Full {
    /// The median of the rounds' ratios.
    pub(crate) share: f64,
    /// Events accepted per second with the receipts there, median.
    pub(crate) full_per_second: f64,
    /// The same on a store that began empty.
    pub(crate) empty_per_second: f64,
    /// Growth of the database for each event.
    pub(crate) bytes_per_event: f64,
    full: Vec<Round>,
    empty: Vec<Round>,
    shares: Vec<f64>,
}

/// Rounds on both stores take turns, each with a daemon of its own.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Full> {
    say(&format!("writing {} receipts", settings.receipts));
    place.run(|command| {
        command
            .args(["prefill", "--receipts", &settings.receipts.to_string(), "--state-root"])
            .arg(place.state("full"));
    })?;
    let (with, without) = (place.start("full").await?, place.start("empty").await?);
    let [mut full, mut empty] = [Vec::new(), Vec::new()];
    for number in 1..=settings.rounds {
        say(&format!("full store against empty store, round {number} of {}", settings.rounds));
        full.push(load::closed(&with, GUEST, settings.length()).await?);
        empty.push(load::closed(&without, GUEST, settings.length()).await?);
    }
    with.stop().await?;
    let shares: Vec<f64> = full.iter().zip(&empty).map(|(full, empty)| full.per_second / empty.per_second).collect();
    Ok(Full {
        share: median(shares.iter().copied())?,
        full_per_second: per_second(&full)?,
        empty_per_second: per_second(&empty)?,
        bytes_per_event: bytes_per_event(without, &place.state("empty")).await?,
        full,
        empty,
        shares,
    })
}

/// The size of the database, all of it in one file after the daemon's end, by the events in it: counted or not.
async fn bytes_per_event(daemon: Daemon, state: &Path) -> Result<f64> {
    let (_, status) = daemon.get("/v1/status").await?;
    let status: Value = serde_json::from_str(&status)?;
    let events = status["runs"]["queued"].as_f64().context("the daemon says how many runs are queued")?;
    daemon.stop().await?;
    Ok(fs::metadata(state.join(DATABASE))?.len() as f64 / events)
}
