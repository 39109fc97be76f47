//! A connector as target: one call of its plugin for each attempt.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    destinations::Destinations,
    sent::{Sent, dead},
    targets,
};
use crate::{
    connectors::{
        Context, Effect, Fault,
        outgoing::{Attempt, DeliveryReceipt, Failure, FailureKind, Outgoing},
    },
    model::{
        delivery::{Delivery, Receipt},
        ids::ConnectorId,
    },
};

/// The code of deliveries whose connector is not there.
pub(super) const GONE: &str = "connector_gone";

/// Sends a delivery once, and returns what the plugin wants remembered of it.
pub async fn send(destinations: &dyn Destinations, delivery: &Delivery) -> (Sent, Vec<Effect>) {
    let (id, route) = match targets::split(&delivery.target) {
        Ok(parts) => parts,
        Err(reason) => return (dead("invalid_target", reason), Vec::new()),
    };
    let Some((plugin, context)) = destinations.find(&id) else {
        return (dead(GONE, format!("there is no connector `{id}` any more")), Vec::new());
    };
    if !plugin.delivers() {
        let detail = format!("connectors of kind `{}` deliver nothing any more", id.kind);
        return (dead(GONE, detail), Vec::new());
    }
    match plugin.deliver(Arc::clone(&context), outgoing(delivery, route)).await {
        Ok(Attempt { outcome: Ok(receipt), effects }) => {
            // Most say nothing; that is not kept.
            let detail = Some(receipt.detail).filter(|detail| detail != "null");
            (Sent::Delivered { platform_id: receipt.platform_id, detail }, effects)
        }
        Ok(Attempt { outcome: Err(failure), effects }) => match failed(failure) {
            Sent::LockedOut { code, detail, .. } if !serves(destinations, &id, &context) => {
                (Sent::Retry { code, detail, after_ms: None, counts: false }, effects)
            }
            failed => (failed, effects),
        },
        Err(fault) => (no_answer(&id, &fault), Vec::new()),
    }
}

/// Whether a connector is still what it was when this context was its. What a platform said to a secret that was replaced
/// meanwhile says nothing about the new one.
pub(super) fn serves(destinations: &dyn Destinations, id: &ConnectorId, context: &Arc<Context>) -> bool {
    destinations.find(id).is_some_and(|(_, now)| Arc::ptr_eq(&now, context))
}

/// One part for a plugin; a look-up gets what the attempt in question got, and when that began.
pub(super) fn outgoing(delivery: &Delivery, route: String) -> Outgoing {
    Outgoing {
        delivery_id: delivery.id.to_string(),
        attempt: u32::try_from(delivery.attempt).unwrap_or(u32::MAX),
        route,
        text: delivery.content.clone(),
        artifacts: serde_json::from_str(&delivery.artifacts).unwrap_or_default(),
        first_part: u32::try_from(delivery.part).unwrap_or(u32::MAX),
        part_count: u32::try_from(delivery.parts).unwrap_or(u32::MAX),
        sent: delivery.sent.iter().map(receipt).collect(),
        idempotency_key: delivery.idempotency_key(),
        metadata: metadata(delivery).to_string(),
    }
}

fn metadata(delivery: &Delivery) -> Value {
    let mut metadata = json!({ "run_id": delivery.run, "session_id": delivery.session });
    if let Some(look_up) = delivery.look_up {
        metadata["attempt_started_at_ms"] = look_up.attempt_started_ms.into();
    }
    metadata
}

fn receipt(kept: &Receipt) -> DeliveryReceipt {
    let detail = kept.detail.clone().unwrap_or_else(|| "null".to_owned());
    DeliveryReceipt { platform_id: kept.platform_id.clone(), detail }
}

pub(super) fn failed(failure: Failure) -> Sent {
    let Failure { kind, code, reason: detail, retry_after_ms } = failure;
    match kind {
        FailureKind::Retryable => {
            Sent::Retry { code, detail, after_ms: retry_after_ms, counts: retry_after_ms.is_none() }
        }
        FailureKind::Unauthorized => Sent::LockedOut { code, detail, after_ms: retry_after_ms },
        FailureKind::Unknown => Sent::Unknown { code, detail },
        FailureKind::Terminal => Sent::Dead { code, detail },
    }
}

/// The plugin gave no answer. Where no request had left it is safe to try again; otherwise nobody knows.
pub(super) fn no_answer(id: &ConnectorId, fault: &Fault) -> Sent {
    tracing::warn!(connector = %id, error = %fault, "a call of {id} that delivers or looks up failed: {fault}");
    let (cause, halfway) = match fault {
        Fault::Halfway(cause) => (&**cause, true),
        cause => (cause, false),
    };
    let (code, detail, counts) = match cause {
        Fault::Overloaded => ("overloaded", "has too many deliveries in flight", false),
        Fault::Deadline(_) => ("connector_timeout", "took too long", true),
        Fault::Memory { .. } | Fault::Trap(_) | Fault::Contract(_) => {
            ("connector_failed", "failed; the log says why", true)
        }
        Fault::Host(_) | Fault::Halfway(_) => ("host_failed", "could not be run", true),
    };
    if halfway {
        return Sent::Unknown {
            code: code.to_owned(),
            detail: format!("connector `{id}` {detail}, after a request had left"),
        };
    }
    Sent::Retry { code: code.to_owned(), detail: format!("connector `{id}` {detail}"), after_ms: None, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(kind: FailureKind, retry_after_ms: Option<i64>) -> Sent {
        failed(Failure { kind, code: "c".to_owned(), reason: "r".to_owned(), retry_after_ms })
    }

    #[test]
    fn each_kind_of_failure_has_its_consequence() {
        let retry = |after_ms, counts| Sent::Retry { code: "c".to_owned(), detail: "r".to_owned(), after_ms, counts };
        assert_eq!(after(FailureKind::Retryable, None), retry(None, true));
        assert_eq!(after(FailureKind::Retryable, Some(5)), retry(Some(5), false), "a wait that was asked for is free");
        let locked_out = Sent::LockedOut { code: "c".to_owned(), detail: "r".to_owned(), after_ms: Some(5) };
        assert_eq!(after(FailureKind::Unauthorized, Some(5)), locked_out);
        assert!(matches!(after(FailureKind::Unknown, Some(5)), Sent::Unknown { .. }));
        assert!(matches!(after(FailureKind::Terminal, Some(5)), Sent::Dead { .. }));
    }
}
