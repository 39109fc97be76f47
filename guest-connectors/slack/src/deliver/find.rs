//! Looking for a part of which nobody knows whether it arrived: messages by the metadata that they were posted with, files by
//! the id that was kept before they were shared.

use kheish_guest::{Failure, FailureKind, Outgoing, Part, Receipt};
use serde_json::{Value, json};

use super::{METADATA, World, name, receipt, upload};
use crate::{
    api::{Api, Effect, Problem},
    route::Route,
};

/// Messages on a page. Apps that are sold outside Slack's marketplace get fifteen.
const PAGE: u32 = 200;

/// Pages that are read.
const MAX_PAGES: usize = 5;

/// How far Slack's clock may be behind the host's, in seconds.
const SKEW_SECS: u64 = 60;

/// What looking came to.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It is there.
    Sent(Receipt),
    /// It is not, and can be sent.
    Absent,
    /// Slack does not let anybody say.
    Undecidable,
}

/// Looks for a part.
pub(crate) fn find(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Found, Failure> {
    if outgoing.parts.iter().any(|part| matches!(part, Part::Artifact(_))) {
        return file(world, outgoing);
    }
    if outgoing.text().trim().is_empty() {
        return Ok(Found::Absent);
    }
    // What only one person sees, and what came by an address, stands in no history.
    if outgoing.route.user_id.is_some() {
        return Ok(Found::Undecidable);
    }
    message(world, outgoing)
}

fn file(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Found, Failure> {
    // Without an id it was cut off before the third step, and nobody saw anything.
    let Some(id) = world.state.get(&upload::key(outgoing)) else { return Ok(Found::Absent) };
    let info = match world.api(&outgoing.route).form("files.info", &[("file", &id)], Effect::Harmless) {
        Ok(info) => info,
        // Slack knows a file once it is shared.
        Err(problem) if ["file_not_found", "file_deleted"].contains(&problem.error.as_str()) => {
            return Ok(Found::Absent);
        }
        Err(problem) => return undecided(problem),
    };
    let shares =
        ["/file/shares/public", "/file/shares/private"].map(|pointer| info.pointer(pointer).and_then(Value::as_object));
    let shared = shares.into_iter().flatten().flat_map(|channels| channels.keys()).next();
    let listed = ["/file/channels", "/file/groups", "/file/ims"]
        .iter()
        .find_map(|pointer| info.pointer(pointer)?.get(0)?.as_str());
    match shared.map(String::as_str).or(listed) {
        Some(channel) => {
            world.state.delete(&upload::key(outgoing));
            Ok(Found::Sent(upload::receipt(&id, channel)))
        }
        // Slack shows where a file was shared a while after it was.
        None => Err(Failure::retryable("file_processing", "Slack does not say yet where the file was shared.")),
    }
}

fn message(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Found, Failure> {
    let api = world.api(&outgoing.route);
    let name = name(outgoing);
    let mut channel = outgoing.route.channel_id.clone();
    if channel.starts_with(['U', 'W']) {
        let opened = match api.post("conversations.open", &json!({"users": channel}), Effect::Harmless) {
            Ok(opened) => opened,
            Err(problem) => return undecided(problem),
        };
        channel = opened.pointer("/channel/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let threads = [outgoing.route.thread_ts.as_deref(), None];
    // One that could not be posted into its thread was posted into the channel.
    let threads = if threads[0].is_some() { &threads[..] } else { &threads[1..] };
    for thread in threads {
        let place = Place { channel: &channel, thread: *thread, since: since(&outgoing.delivery_id) };
        match look(&api, &place, &name) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // There is no such thread: so nothing is in it.
            Err(problem) if thread.is_some() && problem.error == "thread_not_found" => {}
            Err(problem) => return undecided(problem),
        }
    }
    Ok(Found::Absent)
}

struct Place<'p> {
    channel: &'p str,
    thread: Option<&'p str>,
    /// Seconds since 1970 before which nothing of it was sent.
    since: Option<u64>,
}

/// Reads history until the message comes up, or there is nothing left that could be it: then there is none.
fn look(api: &Api<'_>, place: &Place<'_>, name: &str) -> Result<Option<Found>, Problem> {
    let (limit, oldest) = (PAGE.to_string(), place.since.map(|since| format!("{since}.000000")));
    let mut fields =
        vec![("channel", place.channel), ("limit", &limit), ("include_all_metadata", "true"), ("inclusive", "true")];
    fields.extend(oldest.as_deref().map(|oldest| ("oldest", oldest)));
    fields.extend(place.thread.map(|thread| ("ts", thread)));
    let method = if place.thread.is_some() { "conversations.replies" } else { "conversations.history" };
    let mut cursor = String::new();
    for _ in 0..MAX_PAGES {
        let mut asked = fields.clone();
        asked.extend((!cursor.is_empty()).then_some(("cursor", cursor.as_str())));
        let page = api.form(method, &asked, Effect::Harmless)?;
        let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(message) = messages.iter().find(|message| is_ours(message, name)) {
            return Ok(Some(Found::Sent(receipt(place.channel, message["ts"].as_str().unwrap_or_default()))));
        }
        let next =
            page.pointer("/response_metadata/next_cursor").and_then(Value::as_str).unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(None);
        }
        cursor = next;
    }
    // It may stand further back.
    Ok(Some(Found::Undecidable))
}

fn is_ours(message: &Value, name: &str) -> bool {
    let metadata = &message["metadata"];
    message["client_msg_id"] == name || metadata["event_type"] == METADATA && metadata["event_payload"]["part"] == name
}

/// Slack does not let us look, or not now.
fn undecided(problem: Problem) -> Result<Found, Failure> {
    match problem.failure.kind {
        FailureKind::Terminal => Ok(Found::Undecidable),
        // The token is good for sending; it may not be for reading.
        FailureKind::Unauthorized if problem.error == "missing_scope" => Ok(Found::Undecidable),
        _ => Err(problem.failure),
    }
}

/// When a delivery was made: its id begins with the time, as in UUIDs of version 7. Nothing of it is older.
fn since(delivery_id: &str) -> Option<u64> {
    let digits =
        delivery_id.strip_prefix("delivery_").filter(|digits| digits.len() == 32 && digits.as_bytes()[12] == b'7')?;
    let millis = u64::from_str_radix(digits.get(..12)?, 16).ok()?;
    Some((millis / 1_000).saturating_sub(SKEW_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_tells_its_age() {
        assert_eq!(since("delivery_017f22e279b07cc398c4dc0c0c07398f"), Some(1_645_557_742 - SKEW_SECS));
        for odd in ["delivery_1", "run_017f22e279b07cc398c4dc0c0c07398f", "delivery_017f22e279b04cc398c4dc0c0c07398f"] {
            assert_eq!(since(odd), None, "{odd}");
        }
    }
}
