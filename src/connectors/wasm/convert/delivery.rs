//! The way out: what a guest is given to send, and what it may say of it.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{REASON_CHARS, breach};
use crate::{
    connectors::{
        Effect, Fault,
        outgoing::{Attempt, DeliveryReceipt, Failure, FailureKind, Finding, Outgoing, Search},
        wasm::bindings::{exports::kheish::connector::reconciliation, kheish::connector::types as wit},
    },
    secrets::mask,
};

/// What a platform calls what it took, in bytes.
const PLATFORM_ID_BYTES: usize = 512;
/// Size of a receipt's detail, in bytes of JSON.
const DETAIL_BYTES: usize = 64 * 1024;
/// Length of a failure's code, in bytes.
const CODE_BYTES: usize = 64;
/// Length of a failure's reason, in characters; it is kept with the delivery.
const FAILURE_CHARS: usize = 500;

/// One text and the files beside it. A text that says nothing is left out where there is a file.
pub(in crate::connectors::wasm) fn outgoing(outgoing: Outgoing) -> wit::Outgoing {
    let text = (outgoing.artifacts.is_empty() || !outgoing.text.is_empty()).then_some(wit::Part::Text(outgoing.text));
    let artifacts = outgoing.artifacts.into_iter().map(|artifact| {
        wit::Part::Artifact(wit::Artifact {
            asset_id: artifact.asset_id,
            name: artifact.name,
            media_type: artifact.media_type,
            size: artifact.size,
        })
    });
    let sent = outgoing.sent.into_iter();
    wit::Outgoing {
        delivery_id: outgoing.delivery_id,
        attempt: outgoing.attempt,
        route: outgoing.route,
        parts: text.into_iter().chain(artifacts).collect(),
        first_part: outgoing.first_part,
        part_count: outgoing.part_count,
        sent: sent.map(|receipt| wit::Receipt { platform_id: receipt.platform_id, detail: receipt.detail }).collect(),
        idempotency_key: outgoing.idempotency_key,
        metadata: outgoing.metadata,
    }
}

/// The normalised route is checked where an address is made of it; a refusal is shown to whoever wrote the route, and is cut.
pub(in crate::connectors::wasm) fn checked_route(checked: Result<String, String>) -> Result<String, String> {
    checked.map_err(|reason| mask::cut(&reason, REASON_CHARS))
}

pub(in crate::connectors::wasm) fn attempt(
    outcome: Result<wit::Receipt, wit::Failure>,
    effects: Vec<Effect>,
) -> Result<Attempt, Fault> {
    let outcome = match outcome {
        Ok(taken) => Ok(receipt(taken)?),
        Err(failed) => Err(failure(failed)?),
    };
    Ok(Attempt { outcome, effects })
}

pub(in crate::connectors::wasm) fn search(
    outcome: Result<reconciliation::Finding, wit::Failure>,
    effects: Vec<Effect>,
) -> Result<Search, Fault> {
    let outcome = match outcome {
        Ok(reconciliation::Finding::Sent(found)) => Ok(Finding::Sent(receipt(found)?)),
        Ok(reconciliation::Finding::Absent) => Ok(Finding::Absent),
        Ok(reconciliation::Finding::Undecidable) => Ok(Finding::Undecidable),
        Err(failed) => Err(failure(failed)?),
    };
    Ok(Search { outcome, effects })
}

fn receipt(receipt: wit::Receipt) -> Result<DeliveryReceipt, Fault> {
    if receipt.platform_id.as_ref().is_some_and(|id| !(1..=PLATFORM_ID_BYTES).contains(&id.len())) {
        return Err(breach(format!("a receipt's platform id has 1 to {PLATFORM_ID_BYTES} bytes")));
    }
    if receipt.detail.len() > DETAIL_BYTES {
        return Err(breach(format!("a receipt's detail has at most {DETAIL_BYTES} bytes")));
    }
    serde_json::from_str::<IgnoredAny>(&receipt.detail)
        .map_err(|error| breach(format!("a receipt's detail is not JSON: {error}")))?;
    Ok(DeliveryReceipt { platform_id: receipt.platform_id, detail: masked(receipt.detail) })
}

/// JSON as it is kept: a value that is masked may have been more than the inside of a string.
fn masked(json: String) -> String {
    match mask::mask(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(masked) if serde_json::from_str::<IgnoredAny>(&masked).is_ok() => masked,
        Cow::Owned(masked) => serde_json::Value::String(masked).to_string(),
    }
}

pub(in crate::connectors::wasm) fn failure(failure: wit::Failure) -> Result<Failure, Fault> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if !(1..=CODE_BYTES).contains(&failure.code.len()) || !failure.code.bytes().all(plain) {
        let code = mask::cut(&failure.code, CODE_BYTES);
        return Err(breach(format!("it failed with code {code:?}: expected 1 to {CODE_BYTES} of `a-z 0-9 _ . -`")));
    }
    let asked = failure.retry_after_ms.map(|wait| i64::try_from(wait).unwrap_or(i64::MAX));
    Ok(Failure {
        kind: match failure.kind {
            wit::FailureKind::Retryable => FailureKind::Retryable,
            wit::FailureKind::Unknown => FailureKind::Unknown,
            wit::FailureKind::Terminal => FailureKind::Terminal,
            wit::FailureKind::Unauthorized => FailureKind::Unauthorized,
        },
        code: failure.code,
        reason: mask::cut(&failure.reason, FAILURE_CHARS),
        retry_after_ms: asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(platform_id: Option<&str>, detail: &str) -> Result<Attempt, Fault> {
        let receipt = wit::Receipt { platform_id: platform_id.map(str::to_owned), detail: detail.to_owned() };
        attempt(Ok(receipt), Vec::new())
    }

    fn failed(code: &str, reason: &str, retry_after_ms: Option<u64>) -> Result<Failure, Fault> {
        let kind = wit::FailureKind::Retryable;
        failure(wit::Failure { kind, code: code.to_owned(), reason: reason.to_owned(), retry_after_ms })
    }

    #[test]
    fn a_receipt_is_bounded() {
        assert!(taken(None, "null").is_ok() && taken(Some(&"x".repeat(512)), "{}").is_ok());
        let long = format!("\"{}\"", "x".repeat(DETAIL_BYTES));
        for (id, detail) in [(Some(""), "{}"), (Some(&"x".repeat(513)[..]), "{}"), (None, ""), (None, &long)] {
            assert!(matches!(taken(id, detail), Err(Fault::Contract(_))), "{id:?} {}", detail.len());
        }
    }

    #[test]
    fn a_failure_is_bounded() {
        let long = failed("channel_not_found", &"é".repeat(600), Some(u64::MAX)).unwrap();
        assert_eq!((long.reason.chars().count(), long.retry_after_ms), (500, Some(i64::MAX)));
        for code in ["", "Not A Code", "ümlaut", &"x".repeat(65)] {
            assert!(matches!(failed(code, "", None), Err(Fault::Contract(_))), "{code}");
        }
    }
}
