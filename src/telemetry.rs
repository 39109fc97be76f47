//! What the daemon says about itself while it runs: the log ([`lines`]) and traces ([`trace`], [`export`]).
//!
//! The log goes to standard error, as `RUST_LOG` says. One identifier follows an event through all stages: the run's. Spans
//! carry it as `correlation_id`, and a trace has the run's UUID for an id, so that whoever has a run has the trace.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::IsTerminal,
    panic::PanicHookInfo,
};

use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub mod export;
pub mod lines;
pub mod trace;

use export::Export;
use lines::{JsonFields, JsonLines, Mask, Masked, TextFields};

/// What every finished line goes through before it is written.
const MASK: Mask = crate::secrets::mask::mask_bytes;

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The log, and where traces go.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// How lines of the log are written.
    pub log_format: LogFormat,
    /// The collector that traces are sent to, a base URL; without one there are none.
    pub otlp_endpoint: Option<String>,
    /// The share of runs that are traced, 0 to 1. All stages of a run are traced, or none.
    pub sample_ratio: f64,
    /// Spans that may wait to be sent; further ones are dropped.
    pub queue_length: usize,
    /// How long spans wait for company, in milliseconds.
    pub export_interval_ms: u64,
    /// How long the collector may take for one batch, in milliseconds.
    pub export_timeout_ms: u64,
    /// How long the daemon's end may take for spans that wait, in milliseconds.
    pub flush_timeout_ms: u64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            sample_ratio: 1.0,
            queue_length: 8192,
            export_interval_ms: 1_000,
            export_timeout_ms: 5_000,
            flush_timeout_ms: 2_000,
        }
    }
}

/// The log and the traces of a process that runs.
pub struct Telemetry {
    export: Option<Export>,
}

impl Telemetry {
    /// Sends what waits, within `telemetry.flush_timeout_ms`. The log goes on.
    pub async fn stop(self) {
        if let Some(export) = self.export {
            export.stop().await;
        }
    }
}

/// Starts log and traces; call it once, within the runtime. `quiet` shows warnings only unless `RUST_LOG` asks for more.
/// The error names the setting that cannot be followed.
pub fn start(settings: &TelemetrySettings, quiet: bool) -> Result<Telemetry, String> {
    let (export, tracer) = export::start(settings)?.unzip();
    let spans = tracer.map(|tracer| {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        // Spans only: a line of the log can hold content, which is no collector's business.
        layer.with_filter(filter_fn(|about| about.is_span() && is_ours(about)).with_max_level_hint(Level::DEBUG))
    });
    tracing_subscriber::registry()
        .with(log(settings.log_format, quiet))
        .with(spans)
        .try_init()
        .map_err(|error| format!("the log cannot be started: {error}"))?;
    std::panic::set_hook(Box::new(tell_panic));
    Ok(Telemetry { export })
}

/// A panic is a line of the log, masked as any other: its message may hold anything.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(place, backtrace, "a bug in the daemon, at {place}: {message}");
}

/// The log's layer. It knows the spans of stages also where their level is filtered out: warnings shall say whose they are.
fn log(format: LogFormat, quiet: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let fallback = if quiet { "warn" } else { "info" };
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(fallback));
    let stages = filter_fn(|about| about.is_span() && is_ours(about) && *about.level() <= Level::INFO)
        .with_max_level_hint(Level::INFO);
    // The exporter's own complaints are told by us, and not for each batch.
    let foreign = filter_fn(|about| !about.target().starts_with("opentelemetry")).with_max_level_hint(Level::TRACE);
    let filter = wanted.or(stages).and(foreign);
    let writer = Masked::new(std::io::stderr, MASK);
    match format {
        LogFormat::Text => text(writer).with_filter(filter).boxed(),
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().fmt_fields(JsonFields).event_format(JsonLines);
            layer.with_ansi(false).with_writer(writer).with_filter(filter).boxed()
        }
    }
}

fn text<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(writer: W) -> impl Layer<Registry> + Send + Sync {
    let layer = tracing_subscriber::fmt::layer().fmt_fields(TextFields);
    layer.with_ansi(std::io::stderr().is_terminal()).with_writer(writer)
}

fn is_ours(about: &Metadata<'_>) -> bool {
    about.target().starts_with("kheish")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::secrets::{Secret, mask::remember};

    #[test]
    fn a_panic_is_a_line_without_secrets() {
        remember(&Secret::new("value-that-panics"));
        let written = Arc::new(Mutex::new(Vec::new()));
        let buffer = Arc::clone(&written);
        let writer = Masked::new(move || Buffer(Arc::clone(&buffer)), MASK);
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(tell_panic));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(text(writer)), || {
            std::panic::catch_unwind(|| panic!("cannot use value-that-panics")).unwrap_err();
        });
        std::panic::set_hook(former);
        let line = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(line.contains("a bug in the daemon, at src/telemetry.rs:"), "{line}");
        assert!(line.contains("cannot use [masked]") && !line.contains("value-that-panics"), "{line}");
    }

    #[derive(Clone)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
