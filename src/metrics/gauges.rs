//! What is read rather than counted: set when somebody asks, from rows, files and the process.

use std::{collections::BTreeMap, sync::OnceLock};

use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use super::{Book, opts, seconds};

/// Says how many connectors are in which state. States are words of the code.
type Connectors = Box<dyn Fn() -> Vec<(&'static str, i64)> + Send + Sync>;

/// Gauges. Those that cannot be told here and now do not show.
pub struct Gauges {
    states: [IntGaugeVec; 3],
    ages: [GaugeVec; 2],
    bytes: [IntGaugeVec; 4],
    started: GaugeVec,
    writer_queue_depth: IntGauge,
    dead_letters: IntGauge,
    paused: IntGaugeVec,
    connectors: OnceLock<Connectors>,
    /// Event streams that are open: whoever opens one adds one, and takes it off again.
    pub event_streams: IntGauge,
}

/// What the store's rows say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Sessions of which a run waits for a worker.
    pub sessions_ready: i64,
    /// Sessions of which a run is active.
    pub sessions_busy: i64,
    /// Since when the session has been ready that has been so for longest, in milliseconds since 1970.
    pub oldest_ready_ms: Option<i64>,
    /// Deliveries that wait for their turn or their next attempt.
    pub deliveries_pending: i64,
    /// Deliveries of which a byte may have left.
    pub deliveries_sending: i64,
    /// Deliveries that may or may not have arrived.
    pub deliveries_unknown: i64,
    /// Deliveries that were given up.
    pub dead_letters: i64,
    /// When the oldest delivery was made that has not ended, in milliseconds since 1970.
    pub oldest_delivery_ms: Option<i64>,
    /// Connectors that their platform has locked out, by kind.
    pub paused: BTreeMap<String, i64>,
    /// Commands that wait for the writer.
    pub writer_queue_depth: usize,
}

/// What files and the process say; what is absent does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The database file, in bytes.
    pub db_bytes: Option<u64>,
    /// Its write-ahead log, in bytes.
    pub wal_bytes: Option<u64>,
    /// Room on its disk, in bytes.
    pub disk_free_bytes: Option<u64>,
    /// The process's resident memory, in bytes.
    pub resident_bytes: Option<u64>,
}

impl Gauges {
    pub(super) fn new(book: &Book<'_>) -> prometheus::Result<Self> {
        let states = |name, help| book.add(IntGaugeVec::new(opts(name, help), &["state"])?);
        let age = |name, help| book.add(GaugeVec::new(opts(name, help), &[])?);
        let bytes = |opts| book.add(IntGaugeVec::new(opts, &[])?);
        let build = book.add(IntGaugeVec::new(opts("build_info", "Always 1; the label tells."), &["version"])?)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let gauge = |name, help| book.add(IntGauge::with_opts(opts(name, help))?);
        Ok(Self {
            states: [
                states("sessions", "Sessions with work, by state; idle ones are not counted.")?,
                states("deliveries", "Deliveries that have not ended well, by state.")?,
                states("connectors", "Connectors, by state.")?,
            ],
            ages: [
                age(
                    "run_queue_oldest_age_seconds",
                    "How long the session has waited that waits longest; 0 when none.",
                )?,
                age("delivery_oldest_age_seconds", "Age of the oldest delivery that has not ended; 0 when none.")?,
            ],
            bytes: [
                bytes(opts("db_bytes", "Size of the database file."))?,
                bytes(opts("wal_bytes", "Size of its write-ahead log."))?,
                bytes(opts("disk_free_bytes", "Room on the disk of the state folder."))?,
                bytes(Opts::new("process_resident_memory_bytes", "Resident memory of the process."))?,
            ],
            started: book.add(GaugeVec::new(
                Opts::new("process_start_time_seconds", "When the process started, in seconds since 1970."),
                &[],
            )?)?,
            writer_queue_depth: gauge("writer_queue_depth", "Commands that wait for the writer.")?,
            dead_letters: gauge("dead_letters", "Deliveries that were given up.")?,
            paused: book.add(IntGaugeVec::new(
                opts("connectors_paused", "Connectors that their platform has locked out, by kind."),
                &["connector_kind"],
            )?)?,
            connectors: OnceLock::new(),
            event_streams: gauge("event_streams", "Event streams that are open.")?,
        })
    }

    /// Sets who is asked about connectors; the first call counts.
    pub fn ask_about_connectors(&self, ask: impl Fn() -> Vec<(&'static str, i64)> + Send + Sync + 'static) {
        self.connectors.set(Box::new(ask)).ok();
    }

    pub(super) fn set(&self, backlog: &Backlog, sizes: &Sizes, started_ms: i64, now_ms: i64) {
        let [sessions, deliveries, connectors] = &self.states;
        sessions.with_label_values(&["ready"]).set(backlog.sessions_ready);
        sessions.with_label_values(&["busy"]).set(backlog.sessions_busy);
        deliveries.with_label_values(&["pending"]).set(backlog.deliveries_pending);
        deliveries.with_label_values(&["sending"]).set(backlog.deliveries_sending);
        deliveries.with_label_values(&["unknown"]).set(backlog.deliveries_unknown);
        connectors.reset();
        for (state, count) in self.connectors.get().map(|ask| ask()).unwrap_or_default() {
            connectors.with_label_values(&[state]).set(count);
        }
        self.paused.reset();
        for (kind, count) in &backlog.paused {
            self.paused.with_label_values(&[kind]).set(*count);
        }
        let age = |since: Option<i64>| since.map_or(0.0, |since| seconds(now_ms - since));
        let since = [backlog.oldest_ready_ms, backlog.oldest_delivery_ms];
        self.ages.iter().zip(since).for_each(|(gauge, since)| one(gauge).set(age(since)));
        let measured = [sizes.db_bytes, sizes.wal_bytes, sizes.disk_free_bytes, sizes.resident_bytes];
        for (gauge, bytes) in self.bytes.iter().zip(measured) {
            if let Some(bytes) = bytes {
                gauge.with_label_values::<&str>(&[]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
        one(&self.started).set(seconds(started_ms));
        self.writer_queue_depth.set(i64::try_from(backlog.writer_queue_depth).unwrap_or(i64::MAX));
        self.dead_letters.set(backlog.dead_letters);
    }
}

/// The only series of a family without labels.
fn one(family: &GaugeVec) -> prometheus::Gauge {
    family.with_label_values::<&str>(&[])
}
