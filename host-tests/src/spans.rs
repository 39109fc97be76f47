//! Traces as a collector gets them: OTLP over HTTP, in JSON, taken by a [`Receiver`].

use serde_json::Value;

use crate::{host::HostBuilder, receiver::Receiver, wait::eventually};

/// Where spans arrive.
pub const PATH: &str = "/v1/traces";

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// Its parent.
    pub parent: String,
    whole: Value,
}

impl Span {
    fn new(whole: &Value) -> Self {
        let text = |name: &str| whole[name].as_str().unwrap_or_default().to_owned();
        let (name, trace) = (text("name"), text("traceId"));
        Self { name, trace, id: text("spanId"), parent: text("parentSpanId"), whole: whole.clone() }
    }

    /// Whether it says that it went wrong.
    pub fn failed(&self) -> bool {
        self.whole["status"]["code"] == 2
    }

    /// An attribute's text; empty when it is missing.
    pub fn attribute(&self, key: &str) -> &str {
        let all = self.whole["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = all.iter().find(|attribute| attribute["key"] == key);
        found.and_then(|attribute| attribute["value"]["stringValue"].as_str()).unwrap_or_default()
    }
}

/// The daemon sends its spans to this receiver, at once.
pub fn sent_to(host: HostBuilder, receiver: &Receiver) -> HostBuilder {
    host.env("KHEISH_OTLP_ENDPOINT", &receiver.url("")).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
}

/// Every span that has arrived.
pub fn received(receiver: &Receiver) -> Vec<Span> {
    let requests = receiver.received_at(PATH);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let scopes = requests.iter().flat_map(|request| list(&request.body["resourceSpans"]));
    let spans = scopes.flat_map(|resource| list(&resource["scopeSpans"])).flat_map(|scope| list(&scope["spans"]));
    spans.map(|span| Span::new(&span)).collect()
}

/// The spans of a run's trace, once all of these have arrived.
pub async fn of_run(receiver: &Receiver, run: &str, names: &[&str]) -> Vec<Span> {
    let trace = run.trim_start_matches("run_");
    eventually(&format!("{names:?} of {run} have arrived"), async || {
        let spans: Vec<Span> = received(receiver).into_iter().filter(|span| span.trace == trace).collect();
        names.iter().all(|name| spans.iter().any(|span| span.name == *name)).then_some(spans)
    })
    .await
}
