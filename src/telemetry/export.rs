//! Spans on their way to a collector (OTLP over HTTP). The daemon never waits for it: what does not fit the queue, and
//! what the collector does not take, is dropped and spoken of now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample, Span, SpanData,
        SpanExporter as _, SpanProcessor,
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{TelemetrySettings, trace};

/// Spans in one request to the collector.
const BATCH: usize = 512;

/// The pause between two lines about a collector that fails.
const QUIET: Duration = Duration::from_secs(60);

/// Where traces are sent below the endpoint.
const PATH: &str = "v1/traces";

/// Spans that go to a collector.
pub(super) struct Export {
    provider: SdkTracerProvider,
    task: JoinHandle<()>,
    stop: CancellationToken,
    patience: Duration,
}

impl Export {
    /// Sends what waits, within bounds.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(self.patience, self.task).await.is_err() {
            tracing::warn!("spans still waited for the collector after telemetry.flush_timeout_ms; they are dropped");
        }
        self.provider.shutdown().ok();
    }
}

/// Starts to send, when there is an endpoint. The error says which setting to mend.
pub(super) fn start(settings: &TelemetrySettings) -> Result<Option<(Export, SdkTracer)>, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let endpoint = settings.otlp_endpoint.clone().filter(|endpoint| !endpoint.trim().is_empty());
    let Some(endpoint) = endpoint.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT")) else { return Ok(None) };
    if !(0.0..=1.0).contains(&settings.sample_ratio) {
        return Err(format!("telemetry.sample_ratio is {}: give 0 to 1", settings.sample_ratio));
    }
    let protocol = protocol(
        variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL")).as_deref(),
    )?;
    crate::egress::install_tls();
    let resource = Resource::builder()
        .with_service_name("kheishd")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let timeout = Duration::from_millis(settings.export_timeout_ms);
    // Headers can hold a token: it goes to the collector that the operator named, and to nobody that this one names.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(timeout).build();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client.map_err(|error| format!("the client for telemetry.otlp_endpoint: {error}"))?)
        .with_endpoint(url(&endpoint)?)
        .with_protocol(protocol)
        .with_timeout(timeout)
        .build()
        .map_err(|error| format!("telemetry.otlp_endpoint: {error}"))?;
    exporter.set_resource(&resource);
    let (sender, spans) = mpsc::channel(settings.queue_length.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue { spans: sender, dropped: Arc::clone(&dropped) };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(ShareOfRuns(settings.sample_ratio))
        .with_span_processor(queue)
        .build();
    let stop = CancellationToken::new();
    let sending =
        Sending { exporter, interval: Duration::from_millis(settings.export_interval_ms), dropped, spoken: None };
    let task = tokio::spawn(sending.run(spans, stop.clone()));
    trace::exported();
    let tracer = provider.tracer("kheishd");
    let patience = Duration::from_millis(settings.flush_timeout_ms);
    Ok(Some((Export { provider, task, stop, patience }, tracer)))
}

/// The URL for traces of a collector at this base.
fn url(endpoint: &str) -> Result<String, String> {
    let wrong = |what: &str| {
        format!("telemetry.otlp_endpoint {what}: give the base URL of a collector, like http://127.0.0.1:4318")
    };
    let url = reqwest::Url::parse(endpoint.trim()).map_err(|error| wrong(&format!("is not a URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user name or a password (those go into OTEL_EXPORTER_OTLP_HEADERS)"));
    }
    let base = url.as_str().trim_end_matches('/');
    Ok(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}/{PATH}") })
}

fn protocol(name: Option<&str>) -> Result<Protocol, String> {
    match name.map(str::trim) {
        None | Some("http/protobuf") => Ok(Protocol::HttpBinary),
        Some("http/json") => Ok(Protocol::HttpJson),
        Some(other) => {
            Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`; this daemon speaks http/protobuf and http/json"))
        }
    }
}

/// Traces a share of runs, the same for each of a run's stages. The decision rests on the last 32 bits of the trace id: what
/// stands before them in a UUID is time and a counter.
#[derive(Clone, Debug)]
struct ShareOfRuns(f64);

impl ShareOfRuns {
    fn takes(&self, trace: TraceId) -> bool {
        let [.., a, b, c, d] = trace.to_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.0 * (f64::from(u32::MAX) + 1.0)
    }
}

impl ShouldSample for ShareOfRuns {
    fn should_sample(
        &self,
        _parent: Option<&Context>,
        trace: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let decision = if self.takes(trace) { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state: Default::default() }
    }
}

/// Takes spans that ended, without waiting.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans in batches, one after the other.
struct Sending {
    exporter: SpanExporter,
    interval: Duration,
    dropped: Arc<AtomicU64>,
    /// When a failure was last spoken of.
    spoken: Option<Instant>,
}

impl Sending {
    async fn run(mut self, mut spans: mpsc::Receiver<SpanData>, stop: CancellationToken) {
        loop {
            let batch = collect(&mut spans, self.interval, &stop).await;
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let failed = self.exporter.export(batch).await.err();
            if failed.is_some() {
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
            self.speak(failed.map(|error| error.to_string()));
        }
    }

    fn speak(&mut self, failed: Option<String>) {
        let quiet = self.spoken.is_some_and(|spoken| spoken.elapsed() < QUIET);
        if quiet || self.dropped.load(Ordering::Relaxed) == 0 {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        self.spoken = Some(Instant::now());
        let reason = failed.unwrap_or_else(|| "telemetry.queue_length was reached".to_owned());
        tracing::warn!(dropped, reason, "{dropped} spans did not reach the collector: {reason}");
    }
}

/// Waits for a span, and then for company. Nothing comes back when the end was asked for and nothing waits.
async fn collect(spans: &mut mpsc::Receiver<SpanData>, interval: Duration, stop: &CancellationToken) -> Vec<SpanData> {
    let mut batch = Vec::new();
    let mut until: Option<Instant> = None;
    while batch.len() < BATCH {
        let end = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            taken = spans.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    break;
                }
                until = until.or_else(|| Some(Instant::now() + interval));
            }
            () = tokio::time::sleep_until(end), if until.is_some() => break,
            // What waits can still be taken from a closed queue.
            () = stop.cancelled(), if !spans.is_closed() => spans.close(),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_collector_is_named_by_its_base() {
        assert_eq!(url("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(url("https://c.example/otlp/").unwrap(), "https://c.example/otlp/v1/traces");
        assert_eq!(url("http://c.example/v1/traces").unwrap(), "http://c.example/v1/traces");
        for bad in ["", "collector", "ftp://c.example", "http://user:word@c.example"] {
            let reason = url(bad).unwrap_err();
            assert!(reason.contains("telemetry.otlp_endpoint") && !reason.contains("word@"), "{bad}: {reason}");
        }
    }

    #[test]
    fn two_protocols_are_spoken() {
        assert_eq!(protocol(None), Ok(Protocol::HttpBinary));
        assert_eq!(protocol(Some("http/json")), Ok(Protocol::HttpJson));
        assert!(protocol(Some("grpc")).is_err());
    }

    #[test]
    fn a_share_of_runs_is_traced() {
        let clock = Clock::system();
        let traces: Vec<TraceId> = (0..20_000).map(|_| TraceId::from_bytes(*clock.run_id().as_bytes())).collect();
        for (ratio, least, most) in [(0.0, 0, 0), (0.1, 1_700, 2_300), (0.5, 9_500, 10_500), (1.0, 20_000, 20_000)] {
            let taken = traces.iter().filter(|trace| ShareOfRuns(ratio).takes(**trace)).count();
            assert!((least..=most).contains(&taken), "{taken} of 20000 at {ratio}");
        }
    }
}
