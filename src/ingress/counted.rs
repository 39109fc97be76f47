//! What became of a request, for metrics and traces.

use std::time::Instant;

use axum::http::StatusCode;
use tracing::Span;

use super::accept::Accepted;
use crate::{
    metrics::ingress::{ForKind, Verdict},
    wire::problem::Problem,
};

/// Counts a request of which this became durable; of nothing, when the plugin answered by itself. What is no run of
/// its own shows in the open span which one it belongs to.
pub fn note_accepted(counts: &ForKind, accepted: &[Accepted]) {
    let verdict = match accepted.first() {
        None => Verdict::Answered,
        Some(_) if accepted.iter().any(|one| !matches!(one, Accepted::Duplicate(_))) => Verdict::Accepted,
        Some(_) => Verdict::Duplicate,
    };
    if let Some(Accepted::Joined(run) | Accepted::Duplicate(run)) = accepted.first() {
        Span::current().record("run_id", tracing::field::display(run));
    }
    tracing::debug!(events = accepted.len(), "{}: {} events are durable", verdict.name(), accepted.len());
    counts.count(verdict);
}

/// Counts a request that was refused, or notes how long it took to acknowledge one.
pub fn note(counts: &ForKind, refused: Option<&Problem>, started: Instant) {
    match refused {
        Some(problem) => counts.count(of(problem)),
        None => counts.acknowledged.observe(started.elapsed().as_secs_f64()),
    }
}

/// A refusal's class. Plugins choose codes of their own, so the status speaks first.
fn of(problem: &Problem) -> Verdict {
    match (problem.status(), problem.code()) {
        (StatusCode::UNAUTHORIZED, "stale_timestamp") => Verdict::Stale,
        (StatusCode::UNAUTHORIZED, code) if code.ends_with("_signature") || code.ends_with("_timestamp") => {
            Verdict::BadSignature
        }
        (StatusCode::UNAUTHORIZED, _) => Verdict::Unauthenticated,
        (StatusCode::CONFLICT, "idempotency_conflict") => Verdict::Conflict,
        (StatusCode::PAYLOAD_TOO_LARGE, _) => Verdict::TooLarge,
        (StatusCode::TOO_MANY_REQUESTS, _) => Verdict::RateLimited,
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded") => Verdict::Overloaded,
        (status, _) if status.is_server_error() => Verdict::Failed,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_class() {
        for (status, code, verdict) in [
            (401, "missing_token", Verdict::Unauthenticated),
            (401, "invalid_signature", Verdict::BadSignature),
            (401, "missing_timestamp", Verdict::BadSignature),
            (401, "stale_timestamp", Verdict::Stale),
            (400, "stale_timestamp", Verdict::Refused),
            (409, "idempotency_conflict", Verdict::Conflict),
            (409, "binding_conflict", Verdict::Refused),
            (413, "payload_too_large", Verdict::TooLarge),
            (429, "http_ingress_rate_limited", Verdict::RateLimited),
            (503, "overloaded", Verdict::Overloaded),
            (503, "service_unavailable", Verdict::Failed),
            (504, "connector_timeout", Verdict::Failed),
            (405, "method_not_allowed", Verdict::Refused),
        ] {
            let problem = Problem::new(StatusCode::from_u16(status).unwrap(), "connector_ingress", code, "because");
            assert_eq!(of(&problem), verdict, "{status} {code}");
        }
    }
}
