//! Everything that was measured: a table for people, JSON for programs.

use std::time::Duration;

use serde::Serialize;

use crate::{
    children::Children,
    connectors::Connectors,
    daemon::Memory,
    deliveries::Deliveries,
    downloads::Downloads,
    full::Full,
    guest::Guests,
    load::{Length, Round},
    machine::Machine,
    pruning::Pruning,
    rates::Rates,
    sidecars::Sidecars,
    starts::Starts,
};

/// How it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    /// Connections of the generator.
    pub(crate) connections: usize,
    /// Seconds that count in each round.
    pub(crate) seconds: u64,
    /// What comes before them.
    pub(crate) warm_up_ms: u64,
    /// Rounds of each kind.
    pub(crate) rounds: usize,
    /// Receipts in the full store.
    pub(crate) receipts: u64,
    /// Starts with compiled code, and as many without.
    pub(crate) starts: usize,
    /// Guest calls that are timed.
    pub(crate) guest_calls: u64,
    /// Deliveries that are sent in each round.
    pub(crate) deliveries: u64,
    /// Deliveries that wait while memory is looked at.
    pub(crate) pending: u64,
    /// Connectors that are made through the API.
    pub(crate) connectors: u64,
    /// Sessions that events are spread over.
    pub(crate) sessions: u64,
    /// Size of an event.
    pub(crate) event_bytes: usize,
}

impl Settings {
    /// How long a round lasts.
    pub(crate) fn length(&self) -> Length {
        Length { warm_up: Duration::from_millis(self.warm_up_ms), counted: Duration::from_secs(self.seconds) }
    }
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) load_average_after: f64,
    #[serde(flatten)]
    pub(crate) sections: Sections,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(crate) struct Sections {
    pub(crate) guests: Option<Guests>,
    pub(crate) starts: Option<Starts>,
    pub(crate) rates: Option<Rates>,
    pub(crate) full: Option<Full>,
    pub(crate) sidecars: Option<Sidecars>,
    pub(crate) children: Option<Children>,
    pub(crate) pruning: Option<Pruning>,
    pub(crate) deliveries: Option<Deliveries>,
    pub(crate) downloads: Option<Downloads>,
    pub(crate) connectors: Option<Connectors>,
}

/// One line of the table.
struct Line {
    name: String,
    value: f64,
    unit: Unit,
    limits: Option<Limits>,
}

/// What is to be reached, as the figure's own unit counts.
#[derive(Clone, Copy)]
struct Limits {
    at_least: f64,
    aim: f64,
}

#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    Percent,
    Micros,
    Millis,
    Seconds,
    Mebibytes,
    Bytes,
}

impl Unit {
    fn written(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Percent => format!("{:.0} %", value * 100.0),
            Self::Micros => format!("{value:.1} µs"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Bytes => format!("{value:.0} B"),
        }
    }
}

impl Line {
    fn of(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, limits: None }
    }

    fn with_limits(self, at_least: f64, aim: f64) -> Self {
        Self { limits: Some(Limits { at_least, aim }), ..self }
    }

    fn verdict(&self) -> &'static str {
        let Some(Limits { at_least, aim }) = self.limits else { return "" };
        // Whichever way it counts, the aim lies beyond what is asked at least.
        let reached = |limit: f64| if aim > at_least { self.value >= limit } else { self.value <= limit };
        match (reached(aim), reached(at_least)) {
            (true, _) => "✓✓ aim",
            (false, true) => "✓",
            (false, false) => "✗ missed",
        }
    }

    fn cells(&self) -> [String; 5] {
        let limit =
            |pick: fn(Limits) -> f64| self.limits.map(|limits| self.unit.written(pick(limits))).unwrap_or_default();
        let [at_least, aim] = [limit(|limits| limits.at_least), limit(|limits| limits.aim)];
        [self.name.clone(), self.unit.written(self.value), at_least, aim, self.verdict().to_owned()]
    }
}

impl Report {
    /// Prints the table.
    pub(crate) fn print(&self) {
        let Machine { cores, processor, kernel, flush_p50_us, load_average_before } = &self.machine;
        println!("{cores} cores ({processor}), Linux {kernel}; median flush of this disk {flush_p50_us:.0} µs");
        println!(
            "load average {load_average_before:.1} before, {:.1} after, this program included",
            self.load_average_after
        );
        println!();
        let head = ["what", "result", "at least", "aim", ""].map(str::to_owned);
        let rows: Vec<[String; 5]> = [head].into_iter().chain(self.lines().iter().map(Line::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [name, result, at_least, aim] = [0, 1, 2, 3].map(width);
        for row in &rows {
            let line =
                format!("{:<name$}  {:>result$}  {:>at_least$}  {:>aim$}  {}", row[0], row[1], row[2], row[3], row[4]);
            println!("{}", line.trim_end());
        }
        println!();
    }

    fn lines(&self) -> Vec<Line> {
        let Sections { guests, starts, rates, full, sidecars, children, .. } = &self.sections;
        let Sections { pruning, deliveries, downloads, connectors, .. } = &self.sections;
        let Settings { receipts, pending, connectors: made, .. } = self.settings;
        let sections = [
            rates.as_ref().map(|rates| rates.lines(self.settings.connections)),
            guests.as_ref().map(Guests::lines),
            starts.as_ref().map(Starts::lines),
            full.as_ref().map(|full| full.lines(receipts)),
            sidecars.as_ref().map(Sidecars::lines),
            children.as_ref().map(Children::lines),
            pruning.as_ref().map(Pruning::lines),
            deliveries.as_ref().map(|deliveries| deliveries.lines(pending)),
            downloads.as_ref().map(Downloads::lines),
            connectors.as_ref().map(|connectors| connectors.lines(made)),
        ];
        sections.into_iter().flatten().flatten().collect()
    }
}

impl Rates {
    fn lines(&self, connections: usize) -> Vec<Line> {
        use Unit::{Mebibytes, Micros, Millis, PerSecond, Percent};
        let of_rounds =
            |pick: fn(&Round) -> f64| crate::figures::median(self.guest.iter().map(pick)).unwrap_or(f64::NAN);
        let half = &self.half.latency;
        vec![
            Line::of(format!("durable events accepted, {connections} connections"), self.guest_per_second, PerSecond)
                .with_limits(5_000.0, 10_000.0),
            Line::of("  ack p50 at that load", of_rounds(|round| round.latency.p50_ms), Millis),
            Line::of("  ack p99 at that load", of_rounds(|round| round.latency.p99_ms), Millis),
            Line::of("  processor time of the daemon for each", of_rounds(|round| round.daemon_cpu_us), Micros),
            Line::of("  processor time of the generator for each", of_rounds(|round| round.generator_cpu_us), Micros),
            Line::of("  the same, all in one session", self.guest_fixed_per_second, PerSecond),
            Line::of("  the same, without the guest", self.native_per_second, PerSecond),
            Line::of("share of the same route without the guest", self.share, Percent).with_limits(0.80, 0.95),
            Line::of("ack p50 at half of that load", half.p50_ms, Millis),
            Line::of("ack p99 at half of that load", half.p99_ms, Millis).with_limits(25.0, 10.0),
            Line::of("ack p99.9 at half of that load", half.p999_ms, Millis),
            Line::of("resident memory, idle, bundled plugins loaded", self.memory_idle.resident_mib, Mebibytes)
                .with_limits(60.0, 25.0),
            Line::of("  the same after a start that compiled", self.memory_compiled.resident_mib, Mebibytes),
            Line::of("resident memory after the load", self.memory_after.resident_mib, Mebibytes),
        ]
    }
}

impl Guests {
    fn lines(&self) -> Vec<Line> {
        use Unit::{Micros, Millis};
        vec![
            Line::of("guest call, fresh instance, `http`, p50", self.http.p50_us, Micros).with_limits(40.0, 18.0),
            Line::of("guest call, fresh instance, `http`, p99", self.http.p99_us, Micros),
            Line::of("  `slack`, a message in a thread, p50", self.slack.p50_us, Micros).with_limits(40.0, 40.0),
            Line::of("  `telegram`, a message in a topic, p50", self.telegram.p50_us, Micros).with_limits(40.0, 40.0),
            Line::of("plugin load, compiling", self.http.compile_cold_ms, Millis),
            Line::of("plugin load, compiled code cached", self.http.load_cached_ms, Millis),
        ]
    }
}

impl Starts {
    fn lines(&self) -> Vec<Line> {
        vec![
            Line::of("cold start to ready, compiled code cached", self.cached_ms, Unit::Millis)
                .with_limits(300.0, 80.0),
            Line::of("cold start to ready, compiling", self.uncached_ms, Unit::Millis),
        ]
    }
}

impl Full {
    fn lines(&self, receipts: u64) -> Vec<Line> {
        use Unit::{Bytes, PerSecond, Percent};
        vec![
            Line::of(format!("accept rate with {receipts} receipts, against an empty store"), self.share, Percent)
                .with_limits(0.80, 0.95),
            Line::of(format!("  with {receipts} receipts"), self.full_per_second, PerSecond),
            Line::of("  store that began empty", self.empty_per_second, PerSecond),
            Line::of("database for each event", self.bytes_per_event, Bytes),
        ]
    }
}

impl Pruning {
    fn lines(&self) -> Vec<Line> {
        use Unit::Millis;
        vec![
            Line::of("old rows that make room hold the writer, the longest batch", self.longest_hold_ms, Millis)
                .with_limits(20.0, 20.0),
            Line::of("  the mean", self.mean_hold_ms, Millis),
            Line::of("  ack p99 meanwhile, at half of that load", self.events.latency.p99_ms, Millis),
        ]
    }
}

impl Sidecars {
    fn lines(&self) -> Vec<Line> {
        use Unit::PerSecond;
        vec![
            Line::of("durable events of sidecars, one by one", self.single_per_second, PerSecond)
                .with_limits(3_000.0, 6_000.0),
            Line::of("durable events of sidecars, in batches of 64", self.batched_per_second, PerSecond)
                .with_limits(20_000.0, 30_000.0),
        ]
    }
}

impl Children {
    fn lines(&self) -> Vec<Line> {
        use Unit::{Mebibytes, Millis, Seconds};
        vec![
            Line::of("100 sidecars that the daemon keeps, its processor time a second", self.daemon_cpu_ms, Millis)
                .with_limits(10.0, 5.0),
            Line::of("  that of their guards", self.guards_cpu_ms, Millis),
            Line::of("  until all were ready", self.ready_s, Seconds),
            Line::of("  memory of a guard, without the binary's pages", self.guard_mib, Mebibytes),
        ]
    }
}

impl Deliveries {
    fn lines(&self, pending: u64) -> Vec<Line> {
        use Unit::{Mebibytes, Millis, PerSecond, Percent};
        let more = |than: Memory| self.memory_pending.resident_mib - than.resident_mib;
        vec![
            Line::of("deliveries sent and settled, 1000 lanes", self.per_second, PerSecond)
                .with_limits(3_000.0, 6_000.0),
            Line::of("  the same beside a target that never answers", self.share_beside_dead, Percent)
                .with_limits(0.95, 0.99),
            Line::of("end of a run to arrival, half of that load, p50", self.latency.p50_ms, Millis),
            Line::of("end of a run to arrival, half of that load, p99", self.latency.p99_ms, Millis)
                .with_limits(50.0, 20.0),
            Line::of("  the longest", self.latency.max_ms, Millis),
            Line::of(
                format!("resident memory with {pending} that wait, more than idle"),
                more(self.memory_idle),
                Mebibytes,
            ),
            Line::of("  more than with a tenth of them", more(self.memory_tenth), Mebibytes).with_limits(16.0, 4.0),
        ]
    }
}

impl Downloads {
    fn lines(&self) -> Vec<Line> {
        use Unit::{Millis, PerSecond};
        let mebibytes = self.file_bytes / (1024 * 1024);
        vec![
            Line::of(
                format!("Slack acknowledged, {} events per second, p99", self.events_per_second),
                self.alone.p99_ms,
                Millis,
            ),
            Line::of(
                format!("  while {} files of {mebibytes} MiB are fetched, p50", self.at_once),
                self.beside.p50_ms,
                Millis,
            ),
            Line::of(
                format!("  while {} files of {mebibytes} MiB are fetched, p99", self.at_once),
                self.beside.p99_ms,
                Millis,
            )
            .with_limits(100.0, 25.0),
            Line::of("  files fetched meanwhile", self.files_per_second, PerSecond),
        ]
    }
}

impl Connectors {
    fn lines(&self, count: u64) -> Vec<Line> {
        use Unit::{Bytes, Mebibytes, Millis, Seconds};
        vec![
            Line::of(format!("making {count} connectors through the API"), self.made_s, Seconds),
            Line::of("  each, p50", self.put.p50_ms, Millis),
            Line::of(format!("resident memory, idle, {count} connectors"), self.memory_made.resident_mib, Mebibytes)
                .with_limits(100.0, 100.0),
            Line::of("  the same after a start with them", self.memory_started.resident_mib, Mebibytes)
                .with_limits(100.0, 100.0),
            Line::of(format!("list of {count} connectors, p50"), self.list.p50_ms, Millis).with_limits(50.0, 50.0),
            Line::of("  the longest", self.list.max_ms, Millis),
            Line::of("  its size", self.list_bytes as f64, Bytes),
            Line::of("new token, sent until it shows, p50", self.change.p50_ms, Millis).with_limits(100.0, 100.0),
            Line::of("  the longest", self.change.max_ms, Millis).with_limits(100.0, 100.0),
            Line::of("  after the daemon's answer, the longest", self.change_after_answer.max_ms, Millis),
            Line::of(format!("metrics with {count} connectors, p50"), self.metrics.p50_ms, Millis),
            Line::of(format!("cold start to ready, {count} connectors"), self.start_ms, Millis),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better_or_less_is() {
        let verdict = |value, at_least, aim| Line::of("", value, Unit::Millis).with_limits(at_least, aim).verdict();
        assert_eq!(verdict(12.0, 5.0, 10.0), "✓✓ aim");
        assert_eq!(verdict(7.0, 5.0, 10.0), "✓");
        assert_eq!(verdict(12.0, 25.0, 10.0), "✓");
        assert_eq!(verdict(26.0, 25.0, 10.0), "✗ missed");
    }
}
