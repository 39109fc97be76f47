//! What old rows that make room cost those that come: how long batches hold the writer, and how soon events are answered
//! meanwhile.

use anyhow::{Context, Result, ensure};

use crate::{
    daemon::Place,
    load::{self, Round},
    rates::GUEST,
    report::Settings,
    say,
};

/// How old everything is: older than anything is kept.
const DAYS_AGO: &str = "400";

/// Runs for each hundred receipts: a run takes three transactions to write.
const RUNS_PERCENT: u64 = 5;

/// What was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Pruning {
    /// Rows that went while events came.
    pub(crate) rows: f64,
    /// Batches that they went in.
    pub(crate) batches: f64,
    /// No batch held the writer for longer, as far as the buckets of the daemon's metrics tell.
    pub(crate) longest_hold_ms: f64,
    /// The mean time for which a batch held the writer.
    pub(crate) mean_hold_ms: f64,
    /// Events that came meanwhile.
    pub(crate) events: Round,
}

/// Events come at fixed times while a store that is full of what is old is made smaller.
pub(crate) async fn measure(place: &Place, settings: &Settings, per_second: f64) -> Result<Pruning> {
    say(&format!("writing {} receipts that are old", settings.receipts));
    let runs = settings.receipts * RUNS_PERCENT / 100;
    place.run(|command| {
        command.args(["prefill", "--receipts", &settings.receipts.to_string(), "--runs", &runs.to_string()]);
        command.args(["--days-ago", DAYS_AGO, "--state-root"]).arg(place.state("old"));
    })?;
    say(&format!("pruning at {per_second:.0} events per second"));
    let daemon = place.start("old").await?;
    let events = load::open(&daemon, GUEST, settings.length(), per_second).await?;
    let text = daemon.get("/metrics").await?.1;
    daemon.stop().await?;
    let [batches, held] = [sample(&text, "kheish_prune_seconds_count")?, sample(&text, "kheish_prune_seconds_sum")?];
    ensure!(batches > 0.0, "nothing was pruned");
    let rows = text.lines().filter(|line| line.starts_with("kheish_pruned_total{"));
    Ok(Pruning {
        rows: rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum(),
        batches,
        longest_hold_ms: longest(&text, batches) * 1e3,
        mean_hold_ms: held / batches * 1e3,
        events,
    })
}

/// The bound of the first bucket that holds all batches, in seconds.
fn longest(text: &str, batches: f64) -> f64 {
    let bounds =
        text.lines().filter_map(|line| line.strip_prefix("kheish_prune_seconds_bucket{le=\"")?.split_once("\"} "));
    let full = bounds.filter(|(_, count)| count.parse() == Ok(batches));
    full.filter_map(|(bound, _)| bound.parse().ok()).next().unwrap_or(f64::INFINITY)
}

fn sample(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).with_context(|| format!("the metrics have no {name}"))
}
