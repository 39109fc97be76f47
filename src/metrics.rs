//! What is counted and measured, and how it reads at `GET /metrics`.
//!
//! Everything that can be labelled is labelled from a closed set ([`label`]) or with a connector's kind ([`ingress`]),
//! never with an id, so that the number of series is bounded. Handles are fetched once: to count is an atomic addition.
//! What rows can tell is not counted but read when somebody asks ([`gauges`]).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    CounterVec, Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector,
};

pub mod gauges;
pub mod ingress;
pub mod label;
pub mod sidecars;

use gauges::{Backlog, Gauges, Sizes};
use ingress::{ForKind, IngressMetrics};
use label::{AttemptClass, Counters, DownloadEnd, Pruned, RunOutcome};
use sidecars::SidecarMetrics;

/// What the names of the daemon's own metrics begin with.
const PREFIX: &str = "kheish_";

/// Buckets for what people wait for, in seconds.
const WAITS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Buckets for what the daemon does by itself many times a second, in seconds.
const STEPS: [f64; 13] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];

/// Buckets for how long pruning holds the writer, in seconds.
const HOLDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1];

/// Buckets for how many commands share a commit.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Everything that is counted. One for each daemon; shared by those who count.
pub struct Metrics {
    registry: Registry,
    /// Requests on connector routes, by kind.
    ingress: IngressMetrics,
    /// Commands in one commit.
    writer_batch_rows: Histogram,
    /// Time of a commit, statements and flush.
    writer_commit_seconds: Histogram,
    /// From the moment at which a run was durable to its first claim.
    run_start_latency_seconds: Histogram,
    /// Attempts of runs, by how they ended.
    pub runs: Counters<RunOutcome>,
    /// Leases of runs that ended without an answer.
    pub leases_lost: IntCounter,
    /// Writes that were refused because their lease was over.
    pub fenced_writes: IntCounter,
    /// Attempts to deliver, by how they ended.
    pub delivery_attempts: Counters<AttemptClass>,
    /// Attempts to deliver whose end could not be recorded.
    pub delivery_unknown: IntCounter,
    /// Attempts to fetch files that events name, by how they ended.
    pub downloads: Counters<DownloadEnd>,
    /// What was given up because of its age.
    pub pruned: Counters<Pruned>,
    prune_seconds: Histogram,
    rate_limited_seconds: CounterVec,
    paced_seconds: CounterVec,
    auth_failures: IntCounterVec,
    /// What is counted for each sidecar; not among the others.
    pub sidecars: SidecarMetrics,
    /// What is set when somebody asks.
    pub gauges: Gauges,
    /// One scrape at a time sets gauges and reads them.
    turn: Mutex<()>,
}

impl Metrics {
    /// All of them, at zero. Fails only where a name is wrong or used twice.
    pub fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let book = Book(&registry);
        Ok(Arc::new(Self {
            ingress: IngressMetrics::new(&book)?,
            writer_batch_rows: book.histogram("writer_batch_rows", "Commands that shared a commit.", &BATCHES)?,
            writer_commit_seconds: book.histogram(
                "writer_commit_seconds",
                "Time of a commit, from its first statement to the end of its flush.",
                &STEPS,
            )?,
            run_start_latency_seconds: book.histogram(
                "run_start_latency_seconds",
                "Time from the commit that made a run durable to its first claim.",
                &WAITS,
            )?,
            runs: book.counters("runs_total", "Attempts of runs that ended, by outcome.", "outcome")?,
            leases_lost: book.counter("lease_lost_total", "Leases of runs that ended without an answer.")?,
            fenced_writes: book.counter("fenced_writes_total", "Writes refused because their lease was over.")?,
            delivery_attempts: book.counters("delivery_attempts_total", "Attempts to deliver, by class.", "class")?,
            delivery_unknown: book.counter(
                "delivery_unknown_total",
                "Attempts to deliver of which nobody knows whether they arrived, or whose end could not be recorded.",
            )?,
            downloads: book.counters("downloads_total", "Attempts to fetch files of events, by outcome.", "outcome")?,
            pruned: book.counters("pruned_total", "Rows given up because of their age, by table.", "table")?,
            prune_seconds: book.histogram(
                "prune_seconds",
                "Time for which a batch of pruning held the writer.",
                &HOLDS,
            )?,
            rate_limited_seconds: book.add(CounterVec::new(
                opts("rate_limited_seconds_total", "Seconds that targets asked deliveries to wait, by plugin."),
                &["platform"],
            )?)?,
            paced_seconds: book.add(CounterVec::new(
                opts(
                    "paced_seconds_total",
                    "Seconds that lanes were put off to keep to rates of platforms, by plugin.",
                ),
                &["platform"],
            )?)?,
            auth_failures: book.add(IntCounterVec::new(
                opts("auth_failures_total", "Control-plane requests that were not let in, by reason."),
                &["reason"],
            )?)?,
            sidecars: SidecarMetrics::new()?,
            gauges: Gauges::new(&book)?,
            turn: Mutex::default(),
            registry,
        }))
    }

    /// Handles for a connector's kind, for its route to keep. Kinds are those of loaded plugins.
    pub fn for_kind(&self, kind: &str) -> Arc<ForKind> {
        Arc::new(self.ingress.for_kind(kind))
    }

    /// A request named a connector that is not there.
    pub fn count_unknown_connector(&self) {
        self.ingress.unknown_connector.inc();
    }

    /// A target asked to wait so many milliseconds. `plugin` is one that delivers.
    pub fn count_wait(&self, plugin: &str, wait_ms: i64) {
        self.rate_limited_seconds.with_label_values(&[plugin]).inc_by(seconds(wait_ms));
    }

    /// A lane was put off for so many milliseconds, so that its platform need not refuse. `plugin` is one that delivers.
    pub fn count_paced(&self, plugin: &str, wait_ms: i64) {
        self.paced_seconds.with_label_values(&[plugin]).inc_by(seconds(wait_ms));
    }

    /// A control-plane request was not let in. The reason is the code of its problem document.
    pub fn count_auth_failure(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// So many commands became durable together.
    pub fn observe_commit(&self, commands: usize, took: Duration) {
        self.writer_batch_rows.observe(commands as f64);
        self.writer_commit_seconds.observe(took.as_secs_f64());
    }

    /// A batch of so many rows of one table was given up, and held the writer for so long.
    pub fn observe_prune(&self, table: Pruned, rows: u64, took: Duration) {
        self.pruned.add_many(table, rows);
        self.prune_seconds.observe(took.as_secs_f64());
    }

    /// A run was claimed for the first time, so many milliseconds after it became durable.
    pub fn observe_start(&self, waited_ms: i64) {
        self.run_start_latency_seconds.observe(seconds(waited_ms));
    }

    /// The text for a scraper (exposition format 0.0.4), with gauges that show this. Times are in milliseconds since 1970.
    pub fn scrape(
        &self,
        backlog: &Backlog,
        sizes: &Sizes,
        started_ms: i64,
        now_ms: i64,
    ) -> prometheus::Result<Vec<u8>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.set(backlog, sizes, started_ms, now_ms);
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Milliseconds as seconds; what lies before zero is a clock's mistake and counts as none.
fn seconds(milliseconds: i64) -> f64 {
    milliseconds.max(0) as f64 / 1000.0
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help)
}

/// Makes metrics and registers them.
struct Book<'r>(&'r Registry);

impl Book<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters<L: label::Label>(&self, name: &str, help: &str, label: &str) -> prometheus::Result<Counters<L>> {
        Ok(Counters::new(&self.add(IntCounterVec::new(opts(name, help), &[label])?)?, &[]))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(histogram_opts(name, help, buckets))?)
    }
}

fn histogram_opts(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let backlog = Backlog { oldest_ready_ms: Some(1_000), ..Backlog::default() };
        let sizes = Sizes { db_bytes: Some(4096), ..Sizes::default() };
        String::from_utf8(metrics.scrape(&backlog, &sizes, 500, 3_500).unwrap()).unwrap()
    }

    #[test]
    fn gauges_show_what_is_known_and_nothing_else() {
        let metrics = Metrics::new().unwrap();
        metrics.gauges.ask_about_connectors(|| vec![("serving", 2)]);
        let text = text(&metrics);
        for line in [
            "kheish_run_queue_oldest_age_seconds 2.5",
            "kheish_delivery_oldest_age_seconds 0",
            "kheish_db_bytes 4096",
            "kheish_connectors{state=\"serving\"} 2",
            "process_start_time_seconds 0.5",
        ] {
            assert!(text.lines().any(|written| written == line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("wal_bytes"), "{text}");
    }

    #[test]
    fn every_series_of_a_closed_set_is_there_from_the_start() {
        let metrics = Metrics::new().unwrap();
        metrics.for_kind("http");
        let text = text(&metrics);
        for series in [
            "kheish_runs_total{outcome=\"completed\"} 0",
            "kheish_delivery_attempts_total{class=\"rate_limited\"} 0",
            "kheish_ingress_requests_total{connector_kind=\"http\",verdict=\"duplicate\"} 0",
            "kheish_ingress_requests_total{connector_kind=\"unknown\",verdict=\"unknown_connector\"} 0",
            "kheish_lease_lost_total 0",
            "kheish_writer_commit_seconds_count 0",
        ] {
            assert!(text.lines().any(|line| line == series), "no `{series}` in\n{text}");
        }
    }

    #[test]
    fn counting_is_seen_and_time_does_not_run_backwards() {
        let metrics = Metrics::new().unwrap();
        let kind = metrics.for_kind("http");
        kind.requests.add(ingress::Verdict::Accepted);
        metrics.for_kind("http").requests.add(ingress::Verdict::Accepted);
        metrics.count_wait("http", 1_500);
        metrics.observe_start(-5);
        metrics.count_auth_failure("invalid_token");
        let text = text(&metrics);
        for line in [
            "kheish_ingress_requests_total{connector_kind=\"http\",verdict=\"accepted\"} 2",
            "kheish_rate_limited_seconds_total{platform=\"http\"} 1.5",
            "kheish_run_start_latency_seconds_sum 0",
            "kheish_run_start_latency_seconds_count 1",
            "kheish_auth_failures_total{reason=\"invalid_token\"} 1",
        ] {
            assert!(text.lines().any(|written| written == line), "no `{line}` in\n{text}");
        }
    }
}
