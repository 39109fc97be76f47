//! What the figures were measured on, and processor time.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::figures::percentile;

/// Flushes that are timed.
const FLUSHES: usize = 200;

/// Ticks of `/proc/PID/stat` in a second; Linux shows everybody this many.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process, as [`cpu_seconds`] wants it.
pub(crate) const THIS_PROCESS: &str = "self";

/// What the figures were measured on.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    /// Processors that this program may use.
    pub(crate) cores: usize,
    /// Their name.
    pub(crate) processor: String,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// Median time to append a few bytes to a file and make them durable, where the stores lie.
    pub(crate) flush_p50_us: f64,
    /// Processes that wanted to run in the last minute, before anything was measured.
    pub(crate) load_average_before: f64,
}

/// Looks at the machine, and times flushes in `folder`.
pub(crate) fn look(folder: &Path) -> Result<Machine> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(Machine {
        cores: thread::available_parallelism()?.get(),
        processor: name.map_or("unknown", |(_, name)| name).to_owned(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        load_average_before: load_average(),
        flush_p50_us: flush(folder)?,
    })
}

/// Processes that wanted to run in the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

fn flush(folder: &Path) -> Result<f64> {
    let path = folder.join("flush");
    let mut file = File::create(&path)?;
    let mut micros = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let started = Instant::now();
        file.write_all(&[7; 512])?;
        file.sync_data()?;
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    micros.sort_by(f64::total_cmp);
    percentile(&micros, 0.5)
}

/// Seconds of a process's processor time so far, all its threads together.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').context("a process's stat has a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}
