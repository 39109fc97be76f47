//! Looking for a part of which nobody knows whether it arrived: messages by the metadata that they were posted with, files by
//! the id that was kept before they were shared.

use kheish_guest::{Failure, FailureKind, Finding, Outgoing, Part};
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

/// Looks for a part.
pub(crate) fn find(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Finding, Failure> {
    let team = outgoing.route.team_id.as_deref();
    search(world, outgoing).map_err(|failure| world.settings.judge(team, failure))
}

fn search(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Finding, Failure> {
    if outgoing.parts.iter().any(|part| matches!(part, Part::Artifact(_))) {
        return file(world, outgoing);
    }
    if outgoing.text().trim().is_empty() {
        return Ok(Finding::Absent);
    }
    // What only one person sees, and what came by an address, stands in no history.
    if outgoing.route.user_id.is_some() {
        return Ok(Finding::Undecidable);
    }
    message(world, outgoing)
}

fn file(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Finding, Failure> {
    // Without an id it was cut off before the third step, and nobody saw anything.
    let Some(id) = world.state.get(&upload::key(outgoing)) else { return Ok(Finding::Absent) };
    let info = match world.api(&outgoing.route).form("files.info", &[("file", &id)], Effect::Harmless) {
        Ok(info) => info,
        // Slack knows a file once it is shared.
        Err(problem) if ["file_not_found", "file_deleted"].contains(&problem.error.as_str()) => {
            return Ok(Finding::Absent);
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
            Ok(Finding::Sent(upload::receipt(&id, channel)))
        }
        // Slack shows where a file was shared a while after it was.
        None => Err(Failure::retryable("file_processing", "Slack does not say yet where the file was shared.")),
    }
}

fn message(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Finding, Failure> {
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
        let place = Place { channel: &channel, thread: *thread, since: since(&outgoing.metadata) };
        match look(&api, &place, &name) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // There is no such thread: so nothing is in it.
            Err(problem) if thread.is_some() && problem.error == "thread_not_found" => {}
            Err(problem) => return undecided(problem),
        }
    }
    Ok(Finding::Absent)
}

struct Place<'p> {
    channel: &'p str,
    thread: Option<&'p str>,
    /// Seconds since 1970 before which nothing of it was sent.
    since: Option<u64>,
}

/// Reads history until the message comes up, or there is nothing left that could be it: then there is none.
fn look(api: &Api<'_>, place: &Place<'_>, name: &str) -> Result<Option<Finding>, Problem> {
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
            return Ok(Some(Finding::Sent(receipt(place.channel, message["ts"].as_str().unwrap_or_default()))));
        }
        let next =
            page.pointer("/response_metadata/next_cursor").and_then(Value::as_str).unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(None);
        }
        cursor = next;
    }
    // It may stand further back.
    Ok(Some(Finding::Undecidable))
}

fn is_ours(message: &Value, name: &str) -> bool {
    let metadata = &message["metadata"];
    message["client_msg_id"] == name || metadata["event_type"] == METADATA && metadata["event_payload"]["part"] == name
}

/// Slack does not let us look, or not now.
fn undecided(problem: Problem) -> Result<Finding, Failure> {
    match problem.failure.kind {
        FailureKind::Terminal => Ok(Finding::Undecidable),
        // The token is good for sending; it may not be for reading.
        FailureKind::Unauthorized if problem.error == "missing_scope" => Ok(Finding::Undecidable),
        _ => Err(problem.failure),
    }
}

/// Seconds since 1970 before which the attempt in question had not begun: nothing of it is older.
fn since(metadata: &str) -> Option<u64> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    Some((metadata["attempt_started_at_ms"].as_u64()? / 1_000).saturating_sub(SKEW_SECS))
}
