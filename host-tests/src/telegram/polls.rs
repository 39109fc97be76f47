//! `getUpdates`: one poll at a time, and whoever names an offset has confirmed what is below it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    Shared, lock,
    params::Params,
    state::{No, State},
};

/// The longest poll, in seconds.
const LONGEST: i64 = 50;
/// The most updates of one poll.
const MOST: i64 = 100;

pub(super) async fn get_updates(shared: &Shared, params: &Params) -> Result<Value, No> {
    let secs = params.number("timeout").unwrap_or(0).clamp(0, LONGEST);
    let end = Instant::now() + Duration::from_secs(secs.unsigned_abs());
    let mine = begin(&mut lock(&shared.state), params)?;
    // Whoever polled before is told to stop.
    shared.bell.notify_waiters();
    loop {
        let bell = shared.bell.notified();
        tokio::pin!(bell);
        // From here on no ring is missed.
        bell.as_mut().enable();
        if let Some(outcome) = look(&mut lock(&shared.state), params, mine) {
            return outcome;
        }
        if timeout_at(end, bell).await.is_err() {
            let state = &mut lock(&shared.state);
            return look(state, params, mine).unwrap_or_else(|| Ok(json!([])));
        }
    }
}

/// Confirms, and gives the number of this poll.
fn begin(state: &mut State, params: &Params) -> Result<u64, No> {
    no_webhook(state)?;
    state.poll += 1;
    if let Some(kinds) = params.json("allowed_updates") {
        state.webhook.allowed = Some(kinds);
    }
    match params.number("offset") {
        Some(offset) if offset > 0 => state.updates.retain(|update| update.id >= offset),
        Some(offset) if offset < 0 => {
            let keep = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            let gone = state.updates.len().saturating_sub(keep);
            state.updates.drain(..gone);
        }
        _ => {}
    }
    Ok(state.poll)
}

/// What there is to say now, if anything.
fn look(state: &mut State, params: &Params, mine: u64) -> Option<Result<Value, No>> {
    if state.poll != mine {
        let words = "terminated by other getUpdates request; make sure that only one bot instance is running";
        return Some(Err(No::conflict(words)));
    }
    if let Err(no) = no_webhook(state) {
        return Some(Err(no));
    }
    let limit = params.number("limit").unwrap_or(MOST).clamp(1, MOST);
    let most = usize::try_from(limit).unwrap_or(1);
    let due: Vec<Value> = state.updates.iter().take(most).map(|update| update.content.clone()).collect();
    (!due.is_empty()).then(|| Ok(json!(due)))
}

fn no_webhook(state: &State) -> Result<(), No> {
    if state.webhook.url.is_empty() {
        return Ok(());
    }
    Err(No::conflict(
        "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    ))
}
