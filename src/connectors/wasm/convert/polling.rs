//! What a guest may say that its platform had, and how registering there ended.

use super::{EVENTS, breach, delivery::failure, event};
use crate::connectors::{
    Effect, Fault,
    outgoing::Failure,
    pulled::{Pull, Pulled},
    wasm::bindings::{exports::kheish::connector::polling as guest, kheish::connector::types as wit},
};

/// Size of a cursor, in bytes of JSON.
const CURSOR_BYTES: usize = 64 * 1024;
/// The longest wait for the next poll, in milliseconds.
const MAX_WAIT_MS: u64 = 3_600_000;

pub(in crate::connectors::wasm) fn pulled(
    kind: &str,
    outcome: Result<guest::Batch, wit::Failure>,
    effects: Vec<Effect>,
) -> Result<Pulled, Fault> {
    let batch = match outcome {
        Ok(batch) => batch,
        Err(failed) => return Ok(Pulled { outcome: Err(failure(failed)?), effects }),
    };
    if batch.events.len() > EVENTS {
        return Err(breach(format!("it returned {} events, the limit is {EVENTS}", batch.events.len())));
    }
    if let Some(cursor) = &batch.cursor {
        if cursor.len() > CURSOR_BYTES {
            return Err(breach(format!("its cursor has {} bytes, the limit is {CURSOR_BYTES}", cursor.len())));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(cursor)
            .map_err(|error| breach(format!("its cursor is not JSON: {error}")))?;
    }
    let events = batch.events.into_iter().map(|one| event(kind, one)).collect::<Result<_, _>>()?;
    let again_ms = batch.next_poll_after_ms.min(MAX_WAIT_MS);
    Ok(Pulled { outcome: Ok(Pull { events, cursor: batch.cursor, again_ms }), effects })
}

/// How a call ended that brings nothing back.
pub(in crate::connectors::wasm) fn done(outcome: Result<(), wit::Failure>) -> Result<Result<(), Failure>, Fault> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(failed) => Ok(Err(failure(failed)?)),
    }
}
