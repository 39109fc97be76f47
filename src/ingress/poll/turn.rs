//! One connector's poller: ask, make durable, wait, ask again.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    commit::{self, Unwritten},
    pause,
};
use crate::{
    config::polling::PollSettings,
    connectors::{
        Fault,
        outgoing::{Failure, FailureKind},
        pulled::Pulled,
    },
    ingress::{http::Ingress, routes::Route},
    store::duties::Duty,
};

/// The key that guests cannot write: theirs have a letter at least.
pub(super) const CURSOR: &str = "";

/// Polls until `stop`, or until somebody else has the duty.
pub(super) async fn poll(
    ingress: &Ingress,
    route: &Route,
    settings: &PollSettings,
    duty: Duty,
    stop: CancellationToken,
) {
    let id = &route.rules.connector;
    loop {
        let called = tokio::select! {
            called = ask(route) => called,
            () = stop.cancelled() => return,
        };
        let wait = match called {
            Ok(Pulled { outcome: Ok(pull), effects }) => {
                let again = Duration::from_millis(pull.again_ms);
                match commit::commit(ingress, route, pull, effects, (&duty, &stop)).await {
                    Ok(()) => {
                        if route.poll.answer(ingress.clock.now_ms()) {
                            tracing::info!(connector = %id, "{id} polls again");
                        }
                        again
                    }
                    Err(Unwritten::Lost) => return stop.cancel(),
                    Err(Unwritten::Store(error)) => failed(route, settings, "store_failed", &error.to_string()),
                }
            }
            Ok(Pulled { outcome: Err(failure), .. }) => refused(route, settings, &failure),
            Err(fault) => failed(route, settings, code(&fault), &fault.to_string()),
        };
        if !pause(wait, &stop).await {
            return;
        }
    }
}

async fn ask(route: &Route) -> Result<Pulled, Fault> {
    let context = &route.context;
    let cursor = context.key_value.get(&context.connector, CURSOR).await.map_err(Fault::Host)?;
    let cursor = cursor.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    route.plugin.poll(Arc::clone(context), cursor).await
}

/// How long to wait after the platform said no.
fn refused(route: &Route, settings: &PollSettings, failure: &Failure) -> Duration {
    let wait = failed(route, settings, &failure.code, &failure.reason);
    let asked = Duration::from_millis(failure.asked_ms().unwrap_or(0).unsigned_abs());
    match failure.kind {
        FailureKind::Retryable | FailureKind::Unknown => wait.max(asked),
        // Nothing but a change of the connector will help, and that makes a new poller.
        FailureKind::Unauthorized | FailureKind::Terminal => Duration::from_millis(settings.max_retry_ms).max(asked),
    }
}

fn failed(route: &Route, settings: &PollSettings, code: &str, reason: &str) -> Duration {
    let id = &route.rules.connector;
    let (failures, news) = route.poll.fail(code, reason);
    if news {
        tracing::warn!(connector = %id, code, reason, "{id} cannot poll: {reason}");
    }
    Duration::from_millis(backoff((settings.retry_ms, settings.max_retry_ms), failures))
}

/// The wait after so many failures in a row, in milliseconds: from the first to the longest, twice as long each time.
pub(in crate::ingress) fn backoff((first, longest): (u64, u64), failures: u32) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1).min(63)).unwrap_or(u64::MAX);
    first.max(1).saturating_mul(doubled).min(longest)
}

fn code(fault: &Fault) -> &'static str {
    match fault {
        Fault::Overloaded => "overloaded",
        Fault::Deadline(_) => "connector_timeout",
        Fault::Host(_) => "host_failed",
        _ => "connector_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = [1, 2, 3, 7, 64, u32::MAX].map(|failures| backoff((1_000, 60_000), failures)).into();
        assert_eq!(waits, [1_000, 2_000, 4_000, 60_000, 60_000, 60_000]);
    }
}
