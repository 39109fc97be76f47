//! Spans of the stages, one constructor for each, so that names and attributes are said once.
//!
//! All spans of a run are in one trace: its id is the run's UUID, and every stage names as its parent the lower half of
//! it. No task hands a span to another one, so that a restart between two stages changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::{Span, debug_span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::model::{delivery::Delivery, ids::RunId};

/// Whether spans go to a collector. Without one, nothing is prepared for it.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// From now on spans go to a collector.
pub(super) fn exported() {
    EXPORTED.store(true, Ordering::Relaxed);
}

/// A request on the route of a connector of this kind. `run` is the one that its first event becomes when it is new.
pub fn ingress(kind: &str, run: RunId) -> Span {
    let span =
        info_span!("ingress", correlation_id = %run, run_id = Empty, otel.kind = "server", otel.status_code = Empty);
    of_run(span, run, &[("messaging.operation.name", "receive"), ("messaging.destination.name", kind)])
}

/// Within [`ingress`]: who calls.
pub fn verify() -> Span {
    debug_span!("verify")
}

/// Within [`ingress`]: the plugin's part.
pub fn guest_call() -> Span {
    debug_span!("guest_call")
}

/// Within [`ingress`]: the wait for the commit that makes events durable.
pub fn commit() -> Span {
    debug_span!("commit")
}

/// A run that was submitted without a connector.
pub fn submit(run: RunId) -> Span {
    let span = info_span!("submit", correlation_id = %run, run_id = Empty, otel.kind = "server");
    of_run(span, run, &[("messaging.operation.name", "receive"), ("messaging.destination.name", "api")])
}

/// A run was leased to a worker elsewhere.
pub fn claim(run: RunId) -> Span {
    let span = info_span!("claim", correlation_id = %run, otel.kind = "server");
    of_run(span, run, &[("messaging.operation.name", "claim")])
}

/// The daemon performs a run.
pub fn execute(run: RunId) -> Span {
    let span = info_span!("execute", correlation_id = %run, otel.kind = "consumer");
    of_run(span, run, &[("messaging.operation.name", "process")])
}

/// A run ends.
pub fn finish(run: RunId) -> Span {
    let span = info_span!("finish", correlation_id = %run, otel.kind = "internal");
    of_run(span, run, &[("messaging.operation.name", "settle")])
}

/// One attempt to deliver.
pub fn deliver(delivery: &Delivery) -> Span {
    let span = info_span!(
        "deliver",
        correlation_id = %delivery.run,
        delivery_id = %delivery.id,
        attempt = delivery.attempt,
        otel.kind = "producer",
        otel.status_code = Empty
    );
    let plugin = delivery.target.plugin.as_str();
    of_run(span, delivery.run, &[("messaging.operation.name", "send"), ("messaging.destination.name", plugin)])
}

/// One look-up of what may have been delivered.
pub fn look_up(delivery: &Delivery) -> Span {
    let span = info_span!(
        "look_up",
        correlation_id = %delivery.run,
        delivery_id = %delivery.id,
        attempt = delivery.attempt,
        otel.kind = "client",
        otel.status_code = Empty
    );
    let plugin = delivery.target.plugin.as_str();
    of_run(span, delivery.run, &[("messaging.operation.name", "settle"), ("messaging.destination.name", plugin)])
}

/// Within [`deliver`] and its like: a request that a guest makes to a destination of its manifest.
pub fn guest_request(kind: &str, destination: &str, method: &str) -> Span {
    info_span!(
        "guest_request",
        kind,
        destination,
        method,
        status = Empty,
        otel.kind = "client",
        otel.status_code = Empty
    )
}

/// Says in the span that is open which status an answer had.
pub fn answered(status: u16) {
    Span::current().record("status", status);
}

/// Marks the span that is open as one that went wrong.
pub fn went_wrong() {
    Span::current().record("otel.status_code", "ERROR");
}

/// Puts a span into the trace of a run.
fn of_run(span: Span, run: RunId, attributes: &[(&'static str, &str)]) -> Span {
    if EXPORTED.load(Ordering::Relaxed) {
        // A span that is not recorded has no place in a trace.
        span.set_parent(Context::new().with_remote_span_context(parent(run))).ok();
        span.set_attribute("messaging.system", "kheish");
        attributes.iter().for_each(|(name, value)| span.set_attribute(*name, (*value).to_owned()));
    }
    span
}

fn parent(run: RunId) -> SpanContext {
    let id = *run.as_bytes();
    let [.., a, b, c, d, e, f, g, h] = id;
    let span = SpanId::from_bytes([a, b, c, d, e, f, g, h]);
    SpanContext::new(TraceId::from_bytes(id), span, TraceFlags::SAMPLED, true, TraceState::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_and_its_trace_have_one_id() {
        let run: RunId = "run_01a210513d897545835934aae0e3662b".parse().unwrap();
        let parent = parent(run);
        assert_eq!(parent.trace_id().to_string(), "01a210513d897545835934aae0e3662b");
        assert_eq!(parent.span_id().to_string(), "835934aae0e3662b");
        assert!(parent.is_valid() && parent.is_remote());
    }
}
