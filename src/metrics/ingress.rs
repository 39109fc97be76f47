//! Requests on connector routes.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::{
    Book, STEPS, WAITS, histogram_opts,
    label::{Counters, Label, label},
    opts,
};

label! {
    /// What became of a request on a connector's route.
    Verdict {
        /// At least one event of it is new.
        Accepted = "accepted",
        /// All of its events were accepted before.
        Duplicate = "duplicate",
        /// None of its events was taken, for what it is; the answer says so with 200.
        Rejected = "rejected",
        /// The plugin answered by itself; nothing was to be accepted.
        Answered = "answered",
        /// The key was used for another payload.
        Conflict = "conflict",
        /// It showed no token, or a wrong one.
        Unauthenticated = "unauthenticated",
        /// It was not signed, or its signature does not match.
        BadSignature = "bad_signature",
        /// It was signed too long ago.
        Stale = "stale",
        /// Its body was too large.
        TooLarge = "too_large",
        /// The connector takes so many events a second and no more.
        RateLimited = "rate_limited",
        /// Too many calls or writes were waiting.
        Overloaded = "overloaded",
        /// The caller's mistake, of any other sort.
        Refused = "refused",
        /// The daemon's or the plugin's fault.
        Failed = "failed",
    }
}

label! {
    /// How a request of a guest ended.
    Request {
        /// Somebody answered.
        Answered = "answered",
        /// It was denied; nothing left.
        Denied = "denied",
        /// There was no answer in time.
        Timeout = "timeout",
        /// No connection came about, or it or the answer broke.
        Transport = "transport",
        /// It or the answer was too large.
        TooLarge = "too_large",
    }
}

/// The families, and the one series that has no kind of its own.
pub(super) struct IngressMetrics {
    requests: IntCounterVec,
    acknowledged: Histogram,
    guest_calls: HistogramVec,
    guest_requests: IntCounterVec,
    pub(super) unknown_connector: IntCounter,
}

/// What is counted for connectors of one kind.
pub struct ForKind {
    /// Requests by what became of them.
    pub requests: Counters<Verdict>,
    /// Time from a request's head to its answer, refusals left out.
    pub acknowledged: Histogram,
    /// Time of a guest call, the wait for a place included.
    pub guest_calls: Histogram,
    /// Requests that guests made, by how they ended.
    pub guest_requests: Counters<Request>,
}

impl IngressMetrics {
    pub(super) fn new(book: &Book<'_>) -> prometheus::Result<Self> {
        let requests = book.add(IntCounterVec::new(
            opts("ingress_requests_total", "Requests on connector routes, by kind and by what became of them."),
            &["connector_kind", "verdict"],
        )?)?;
        Ok(Self {
            acknowledged: book.histogram(
                "ingress_ack_seconds",
                "Time from a request's head to its answer, refusals left out.",
                &WAITS,
            )?,
            guest_calls: book.add(HistogramVec::new(
                histogram_opts("guest_call_seconds", "Time of a guest call, the wait for a place included.", &STEPS),
                &["connector_kind"],
            )?)?,
            guest_requests: book.add(IntCounterVec::new(
                opts("guest_requests_total", "Requests that guests made, by kind and by how they ended."),
                &["connector_kind", "outcome"],
            )?)?,
            unknown_connector: requests.with_label_values(&["unknown", "unknown_connector"]),
            requests,
        })
    }

    pub(super) fn for_kind(&self, kind: &str) -> ForKind {
        ForKind {
            requests: Counters::new(&self.requests, &[kind]),
            acknowledged: self.acknowledged.clone(),
            guest_calls: self.guest_calls.with_label_values(&[kind]),
            guest_requests: Counters::new(&self.guest_requests, &[kind]),
        }
    }
}

impl ForKind {
    /// Counts a request.
    pub fn count(&self, verdict: Verdict) {
        self.requests.add(verdict);
    }
}

impl Verdict {
    /// How it reads.
    pub fn name(self) -> &'static str {
        self.text()
    }
}
