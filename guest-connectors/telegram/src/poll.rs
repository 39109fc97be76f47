//! Updates that are fetched.
//!
//! Telegram forgets updates when a call names an offset above them. So what a poll brought is committed first, and the next
//! poll names the offset. After a week without updates Telegram begins at a random number, and an offset from before could
//! forget what nobody has seen: so an offset is named once, and not at all when it is older than [`STALE_SECS`].

use kheish_guest::{
    Batch, Failure,
    http::{Client, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    api::{Api, Params, Refused, Trouble},
    event::{self, Skip},
    settings::IngressMode,
    update::{KINDS, Numbered, Update, UpdateId},
};

mod date;

/// The most events of one poll.
const EVENTS: usize = 50;

/// How old an offset may be, in seconds: a day less than Telegram's week.
const STALE_SECS: u64 = 6 * 24 * 3_600;

/// How long a connector that is sent its updates need not be asked, in milliseconds.
const IDLE_MS: u64 = 3_600_000;

/// How much longer than the poll itself its answer may take, in milliseconds.
const GRACE_MS: u32 = 10_000;

/// How long it may take to stop a button's waiting sign, in milliseconds.
const ACKNOWLEDGE_MS: u32 = 2_000;

/// How far the connector has read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Cursor {
    /// Everything below it is durable, and Telegram does not know yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// When the offset was learned, in Unix seconds by Telegram's clock.
    at: u64,
    /// Buttons whose waiting signs are still to be stopped: their events are durable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pressed: Vec<String>,
}

/// What a poll brought.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) batch: Batch<Cursor>,
    /// What became no event.
    pub(crate) skipped: Vec<(UpdateId, Skip)>,
}

/// What a poll needs to know of the webhook that should not be there.
#[derive(Deserialize)]
struct WebhookInfo {
    #[serde(default)]
    url: String,
}

/// Asks once.
pub(crate) fn poll<C: Client>(api: &Api<'_, C>, name: &str, cursor: Option<Cursor>) -> Result<Polled, Failure> {
    if api.settings.ingress_mode == IngressMode::Webhook {
        // Telegram sends by itself. Another setting makes another poller.
        let batch = Batch { events: Vec::new(), cursor: None, next_poll_after_ms: IDLE_MS };
        return Ok(Polled { batch, skipped: Vec::new() });
    }
    let cursor = cursor.unwrap_or_default();
    acknowledge(api, &cursor.pressed);
    let offset = match cursor.offset {
        Some(offset) => Some(offset).filter(|_| is_fresh(api, cursor.at)),
        None => None,
    };
    let response = fetch(api, offset)?;
    let at = clock(&response).unwrap_or(cursor.at);
    let raw: Vec<Box<RawValue>> = crate::api::open(&response).map_err(|refused| failure(api, refused))?;
    let mut skipped = Vec::new();
    let updates: Vec<Update> = raw.into_iter().filter_map(|update| readable(update.get(), &mut skipped)).collect();
    let seen = updates.iter().map(|update| &update.update_id).chain(skipped.iter().map(|(id, _)| id));
    let last = seen.filter_map(|id| if let UpdateId::Number(number) = id { Some(*number) } else { None }).max();
    let (mut events, mut pressed) = (Vec::new(), Vec::new());
    for update in updates {
        match event::of(name, api.settings, &update) {
            Ok(event) => {
                events.push(event);
                pressed.extend(update.callback_query.map(|query| query.id));
            }
            Err(reason) => skipped.push((update.update_id, reason)),
        }
    }
    let next = Cursor {
        offset: last.map(|last| last.saturating_add(1)),
        at: if last.is_some() { at } else { cursor.at },
        pressed,
    };
    let cursor = (next != cursor).then_some(next);
    Ok(Polled { batch: Batch { events, cursor, next_poll_after_ms: 0 }, skipped })
}

/// Stops the waiting signs of buttons. It is a courtesy: Telegram does it by itself after a while.
fn acknowledge<C: Client>(api: &Api<'_, C>, pressed: &[String]) {
    for query in pressed {
        let params = Params::default().with("callback_query_id", query.as_str());
        let request = api.request("answerCallbackQuery").json(&params).timeout_ms(ACKNOWLEDGE_MS);
        if api.client.send(request).is_err() {
            return;
        }
    }
}

/// Whether an offset from then may be named now. The answer to a harmless call says what time it is; where it does not, the
/// offset counts, because without it nothing would ever be confirmed.
fn is_fresh<C: Client>(api: &Api<'_, C>, at: u64) -> bool {
    let response = api.client.send(api.request("getWebhookInfo"));
    let now = response.ok().as_ref().and_then(clock);
    now.is_none_or(|now| now.saturating_sub(at) < STALE_SECS)
}

fn fetch<C: Client>(api: &Api<'_, C>, offset: Option<i64>) -> Result<Response, Failure> {
    let timeout = api.settings.polling_timeout_seconds;
    let params = Params::default()
        .with_some("offset", offset)
        .with("limit", EVENTS)
        .with("timeout", timeout)
        .with("allowed_updates", Vec::from(KINDS));
    let request = api.request("getUpdates").json(&params);
    let request = request.timeout_ms(timeout.saturating_mul(1_000).saturating_add(GRACE_MS));
    api.client.send(request).map_err(|error| error.harmless())
}

fn clock(response: &Response) -> Option<u64> {
    date::unix_secs(response.header("date")?)
}

/// What cannot be read is skipped by its number: it must not stand in the way of what follows.
fn readable(update: &str, skipped: &mut Vec<(UpdateId, Skip)>) -> Option<Update> {
    let readable = decoded(update);
    if readable.is_none() {
        let Numbered { update_id } = decoded(update)?;
        skipped.push((update_id, Skip::UnreadableUpdate));
    }
    readable
}

/// From bytes, as everywhere else: a second way to decode updates would make the component a tenth larger.
fn decoded<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(text.as_bytes()).ok()
}

/// A conflict is named by its cause.
fn failure<C: Client>(api: &Api<'_, C>, refused: Refused) -> Failure {
    if refused.status != 409 {
        return refused.failure(true);
    }
    let Refused { retry_after_ms, .. } = refused;
    let wait = retry_after_ms.unwrap_or(3_000).max(3_000);
    if !refused.says("webhook") {
        let reason = "Another program polls with this bot's token: stop it, or give the connector a token of its own.";
        return Failure::retryable("another_poller", reason).after_ms(wait);
    }
    let info: Result<WebhookInfo, Trouble> = api.call("getWebhookInfo", &Params::default());
    let place = info.map_or_else(|_| String::new(), |info| format!(" at {}", info.url));
    let reason =
        format!("A webhook{place} takes the bot's updates: it is removed when the connector is activated again.");
    Failure::retryable("webhook_active", reason).after_ms(wait)
}

#[cfg(test)]
mod tests;
