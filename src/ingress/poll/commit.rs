//! Making durable what a poll brought: all of it with the cursor in one transaction. Where an event is refused, one by one, and
//! the cursor last, so that the refused one keeps nothing behind it waiting.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{fenced::Fenced, pause, turn::CURSOR};
use crate::{
    connectors::{Effect, pulled::Pull},
    ingress::{
        accept::{Accept, Accepted, Entry, Refused},
        counted,
        http::Ingress,
        prepare::prepare,
        routes::Route,
    },
    model::happening::Verdict,
    store::{StoreError, duties::Duty},
};

/// Why something is not durable.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// Somebody else has the duty by now.
    Lost,
    /// The store did not do it.
    Store(StoreError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) async fn commit(
    ingress: &Ingress,
    route: &Route,
    pull: Pull,
    mut effects: Vec<Effect>,
    (duty, stop): (&Duty, &CancellationToken),
) -> Result<(), Unwritten> {
    if let Some(cursor) = pull.cursor {
        effects.push(Effect::Set { key: CURSOR.to_owned(), value: cursor.into_bytes() });
    }
    let entries: Vec<Entry> = pull.events.into_iter().filter_map(|event| ready(ingress, route, event)).collect();
    if entries.is_empty() && effects.is_empty() {
        return Ok(());
    }
    let whole = !entries.is_empty();
    match write(ingress, route, duty, entries, effects.clone()).await? {
        // What every event had done before was not written again, and the cursor is still to be.
        Ok(accepted) if whole && accepted.iter().all(|one| matches!(one, Accepted::Duplicate(_))) => {
            write(ingress, route, duty, Vec::new(), effects).await.map(drop)
        }
        Ok(_) => Ok(()),
        Err((_, entries)) => {
            for entry in entries {
                if !one_by_one(ingress, route, entry, (duty, stop)).await? {
                    return Ok(());
                }
            }
            write(ingress, route, duty, Vec::new(), effects).await.map(drop)
        }
    }
}

/// An event as it is stored. One that breaks the contract is told and left out.
fn ready(ingress: &Ingress, route: &Route, event: crate::model::event::Event) -> Option<Entry> {
    let id = &route.rules.connector;
    match prepare(&route.rules, event, &ingress.clock) {
        Ok(entry) => Some(entry),
        Err(fault) => {
            tracing::warn!(connector = %id, error = %fault, "an event that {id} fetched is left out: {fault}");
            ingress.verdicts.note(id, Verdict::Failed, Some("connector_failed"), None);
            None
        }
    }
}

/// Says whether to go on.
async fn one_by_one(
    ingress: &Ingress,
    route: &Route,
    mut entry: Entry,
    (duty, stop): (&Duty, &CancellationToken),
) -> Result<bool, Unwritten> {
    let id = &route.rules.connector;
    loop {
        let (refused, mut back) = match write(ingress, route, duty, vec![entry], Vec::new()).await? {
            Ok(_) => return Ok(true),
            Err(refused) => refused,
        };
        let Some(again) = back.pop() else { return Ok(true) };
        if let Refused::TooFast(wait_ms) = refused {
            entry = again;
            if !pause(Duration::from_millis(wait_ms), stop).await {
                return Ok(false);
            }
            continue;
        }
        tracing::warn!(connector = %id, "an event that {id} fetched is left out: {refused}");
        let verdict = if matches!(refused, Refused::Conflict(_)) { Verdict::Conflict } else { Verdict::Refused };
        ingress.verdicts.note(id, verdict, Some(code(&refused)), None);
        return Ok(true);
    }
}

/// A refusal, and what was refused.
type Back = (Refused, Vec<Entry>);

async fn write(
    ingress: &Ingress,
    route: &Route,
    duty: &Duty,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
) -> Result<Result<Vec<Accepted>, Back>, Unwritten> {
    let id = &route.rules.connector;
    let count = entries.len() as u64;
    let accept = Accept {
        source: id.to_string(),
        entries: entries.clone(),
        effects,
        rate: Some(Arc::clone(&route.rate)),
        now_ms: ingress.clock.now_ms(),
    };
    let outcome = ingress.store.write(Fenced { duty: duty.clone(), accept }).await;
    if matches!(outcome, Err(StoreError::Unavailable(_))) {
        route.rate.give_back(count);
    }
    let accepted = match outcome?.ok_or(Unwritten::Lost)? {
        Ok(accepted) => accepted,
        Err(refused) => return Ok(Err((refused, entries))),
    };
    if !accepted.is_empty() {
        counted::note_accepted(&route.counts, &accepted);
    }
    for one in &accepted {
        if let Accepted::Duplicate(run) = one {
            ingress.verdicts.note(id, Verdict::Duplicate, None, Some(*run));
        }
    }
    Ok(Ok(accepted))
}

fn code(refused: &Refused) -> &'static str {
    match refused {
        Refused::Conflict(_) => "idempotency_conflict",
        Refused::UnknownSession(_) => "session_not_found",
        Refused::Unplaced(_) => "session_unresolved",
        Refused::TooFast(_) => "rate_limited",
        Refused::UnknownAsset(_) => "asset_not_found",
    }
}
