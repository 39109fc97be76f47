//! Messages: new ones, edits and deletions. Whatever else happens in a workspace is ignored.

use kheish_guest::{Answer, Context, Event, Refusal, Relation, json};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    content::{self, File},
    envelope::Envelope,
    ignored, object, refuse,
};
use crate::{
    conversation::{self, Place},
    route::{Route, is_ts},
    settings::Settings,
};

/// The actor where Slack names none (contract section 3.3).
const NOBODY: &str = "slack-user";

/// Longest id that is believed.
const MAX_ID: usize = 64;

/// An event of kind `message` or `app_mention`; in an edit, also what it was and what it became.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    channel: Option<String>,
    team: Option<String>,
    user: Option<String>,
    bot_id: Option<String>,
    app_id: Option<String>,
    text: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    event_ts: Option<String>,
    deleted_ts: Option<String>,
    edited: Option<Edited>,
    files: Vec<File>,
    message: Option<Box<Self>>,
    previous_message: Option<Box<Self>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Edited {
    user: Option<String>,
    ts: Option<String>,
}

/// The same in the words that all three kinds of event share.
struct Said<'m> {
    /// Its own timestamp, or that of the message that is concerned.
    ts: String,
    /// Who did it.
    user: Option<&'m str>,
    text: &'m str,
    files: &'m [File],
    /// The first message of its thread, itself where it begins one.
    root: String,
    change: Option<Change>,
}

/// What is done to an earlier message.
struct Change {
    kind: &'static str,
    /// Tells changes of one message apart.
    at: String,
}

/// What becomes of an event.
pub(super) fn handle(context: &Context<Settings>, envelope: &Envelope<'_>) -> Result<Answer, Refusal> {
    let Some(raw) = envelope.event else {
        return refuse("missing_event", "An event_callback has an event, and this one has none.");
    };
    let message = read(raw)?;
    if !["message", "app_mention"].contains(&message.kind.as_str()) {
        envelope.check(&context.settings, &envelope.place(message.team.as_deref(), ""))?;
        return Ok(ignored("unsupported_event"));
    }
    let Some(channel) = message.channel.as_deref().filter(|id| is_name(id)) else {
        return refuse("missing_channel", "The event has no valid channel: expected an id such as `C024BE91L`.");
    };
    let place = envelope.place(message.team.as_deref(), channel);
    envelope.check(&context.settings, &place)?;
    if is_own(envelope, &message) {
        return Ok(ignored("unsupported_message_subtype"));
    }
    match said(&context.settings, &message)? {
        Ok(said) => Ok(Answer::event(event(context, envelope, &place, &message.kind, said))),
        Err(reason) => Ok(ignored(reason)),
    }
}

fn read(raw: &RawValue) -> Result<Message, Refusal> {
    object(raw.get().as_bytes())
}

/// Whether a machine said it: another app, or this one.
fn is_own(envelope: &Envelope<'_>, message: &Message) -> bool {
    let by_machine = |message: &Message| {
        let subtype = message.subtype.as_deref() == Some("bot_message");
        let own_app = message.app_id.is_some() && message.app_id == envelope.api_app_id;
        let own_user = envelope
            .authorizations
            .iter()
            .any(|one| one.is_bot && one.user_id.is_some() && one.user_id == message.user);
        subtype || own_app || own_user || message.bot_id.as_ref().is_some_and(|id| !id.is_empty())
    };
    by_machine(message)
        || [&message.message, &message.previous_message].into_iter().flatten().any(|inner| by_machine(inner))
}

/// What was said; or why it is nothing that anybody said.
fn said<'m>(settings: &Settings, message: &'m Message) -> Result<Result<Said<'m>, &'static str>, Refusal> {
    match message.subtype.as_deref() {
        None | Some("file_share" | "thread_broadcast" | "me_message") => new(message).map(Ok),
        Some("message_changed") if settings.edits || settings.deletions => changed(settings, message),
        Some("message_deleted") if settings.deletions => deleted(message).map(Ok),
        Some(_) => Ok(Err("unsupported_message_subtype")),
    }
}

fn new(message: &Message) -> Result<Said<'_>, Refusal> {
    let ts = ts(message.ts.as_deref())?;
    Ok(Said {
        root: root(message.thread_ts.as_deref(), &ts),
        ts,
        user: message.user.as_deref(),
        text: message.text.as_deref().unwrap_or_default(),
        files: &message.files,
        change: None,
    })
}

/// Slack calls it a change too when a preview appears, or when a thread gets its first reply: then nobody edited anything.
fn changed<'m>(settings: &Settings, message: &'m Message) -> Result<Result<Said<'m>, &'static str>, Refusal> {
    let Some(inner) = message.message.as_deref() else {
        return refuse("missing_message", "A message_changed has the new message, and this one has none.");
    };
    let ts = ts(inner.ts.as_deref())?;
    if inner.subtype.as_deref() == Some("tombstone") {
        // What begins a thread leaves a stone.
        return Ok(if settings.deletions { Ok(removal(message, ts)) } else { Err("unsupported_message_subtype") });
    }
    let before = message.previous_message.as_deref();
    let same = |before: &Message| before.edited == inner.edited && before.text == inner.text;
    if !settings.edits || inner.edited.is_none() || before.is_some_and(same) {
        return Ok(Err("unsupported_message_subtype"));
    }
    let editor = inner.edited.as_ref().and_then(|edited| edited.user.as_deref());
    let at = inner.edited.as_ref().and_then(|edited| edited.ts.as_deref()).or(message.event_ts.as_deref());
    Ok(Ok(Said {
        root: root(inner.thread_ts.as_deref(), &ts),
        ts,
        user: editor.or(inner.user.as_deref()),
        text: inner.text.as_deref().unwrap_or_default(),
        files: &inner.files,
        change: Some(Change { kind: "edit", at: at.unwrap_or_default().to_owned() }),
    }))
}

fn deleted(message: &Message) -> Result<Said<'_>, Refusal> {
    let ts = ts(message.deleted_ts.as_deref())?;
    Ok(removal(message, ts))
}

/// The text is that which is gone: it says what is no longer meant.
fn removal(message: &Message, ts: String) -> Said<'_> {
    let before = message.previous_message.as_deref();
    Said {
        root: root(before.and_then(|before| before.thread_ts.as_deref()), &ts),
        ts,
        user: before.and_then(|before| before.user.as_deref()),
        text: before.and_then(|before| before.text.as_deref()).unwrap_or_default(),
        files: &[],
        change: Some(Change { kind: "delete", at: String::new() }),
    }
}

fn event(context: &Context<Settings>, envelope: &Envelope<'_>, place: &Place, kind: &str, said: Said<'_>) -> Event {
    let Said { ts, user, text, files, root, change } = said;
    let target = place.message(&ts);
    let id = match &change {
        None => target.clone(),
        Some(Change { kind, at }) if at.is_empty() => format!("{target}:{kind}"),
        Some(Change { kind, at }) => format!("{target}:{kind}:{at}"),
    };
    let route = Route {
        enterprise_id: place.enterprise.clone(),
        team_id: place.team.clone(),
        channel_id: place.channel.clone(),
        thread_ts: Some(root.clone()),
        ..Route::default()
    };
    // Nobody waits for an answer to what is gone, and the thread may be gone with it.
    let answered = change.as_ref().is_none_or(|change| change.kind != "delete");
    let (session, binding_keys) = conversation::session(&context.settings, place.conversation(&context.name, &root));
    Event {
        id: Some(id),
        // What a person said, and nothing of how it was delivered: retries differ in that, and so do the two events that a
        // mention makes. Files are left out, because Slack adds to them while it looks at them.
        fingerprint: Some(json!([user, text, root]).to_string()),
        occurred_at_ms: millis(
            change.as_ref().map(|change| change.at.as_str()).filter(|at| !at.is_empty()).unwrap_or(&ts),
        ),
        actor: Some(user.filter(|user| is_name(user)).unwrap_or(NOBODY).to_owned()),
        relation: change.as_ref().map(|change| Relation { kind: change.kind.to_owned(), target_event_id: target }),
        session,
        binding_keys,
        input: content::input(text, files, place.team.as_deref()),
        reply_route: answered.then(|| json::text(&route)),
        metadata: content::metadata(envelope),
        ..Event::new(kind)
    }
}

fn ts(text: Option<&str>) -> Result<String, Refusal> {
    match text.filter(|text| is_ts(text)) {
        Some(ts) => Ok(ts.to_owned()),
        None => refuse("missing_ts", "The event has no valid timestamp: expected one such as `1503435956.000247`."),
    }
}

fn root(thread: Option<&str>, ts: &str) -> String {
    thread.filter(|thread| is_ts(thread)).unwrap_or(ts).to_owned()
}

/// Milliseconds since 1970 of a timestamp.
pub(super) fn millis(ts: &str) -> Option<u64> {
    let (seconds, rest) = ts.split_once('.')?;
    let fraction: u64 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()?.checked_mul(1_000)? + fraction)
}

/// Whether it can be a part of keys, which `:` separates.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_times() {
        assert_eq!(millis("1531420618.000200"), Some(1_531_420_618_000));
        assert_eq!(millis("1531420618.123456"), Some(1_531_420_618_123));
        assert_eq!(millis("1531420618.5"), Some(1_531_420_618_500));
        for odd in ["", "1531420618", "x.y", "99999999999999999999.1"] {
            assert_eq!(millis(odd), None, "{odd}");
        }
    }
}
