//! Answers. One call sends one message; what Telegram refuses for its form is sent once more in a plainer one, because a
//! refusal says that nothing was sent.

use kheish_guest::{
    Artifact, Failure, Outgoing, Part, Receipt,
    http::{Client, FormField},
    json,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{Api, Params, Refused, Trouble},
    manifest::{CAPTION_UNITS, TEXT_UNITS},
    markdown,
    memory::Memory,
    route::Route,
    settings::{Format, Settings},
};

mod shape;

use shape::{Shape, plainer};

/// The largest file that Telegram's own server takes, in bytes.
const FILE_BYTES: u64 = 50 * 1024 * 1024;

/// The largest picture that is sent as one, in bytes; larger ones are sent as documents.
const PHOTO_BYTES: u64 = 10 * 1024 * 1024;

/// The message as Telegram sent it.
#[derive(Deserialize)]
struct Sent {
    message_id: i64,
    #[serde(default)]
    date: u64,
}

/// One message.
struct Message<'o> {
    text: &'o str,
    file: Option<&'o Artifact>,
}

/// Sends once.
pub(crate) fn deliver<C: Client>(
    api: &Api<'_, C>,
    memory: &dyn Memory,
    outgoing: &Outgoing<Route>,
) -> Result<Receipt, Failure> {
    let text = outgoing.text();
    let message = message(&outgoing.parts, &text)?;
    let mut route = outgoing.route.clone();
    let chat = whereabouts(api.settings, memory, &route)?;
    check_sizes(api.settings, &message)?;
    if message.file.is_none() && text.trim().is_empty() {
        return Ok(Receipt { platform_id: None, detail: json::text(&json!({"skipped": "the text is empty"})) });
    }
    route.chat_id = chat;
    let mut shape = Shape::new(&message);
    loop {
        match send(api, &route, &message, &shape) {
            Ok(sent) => return Ok(receipt(&route, &sent, &shape)),
            Err(Trouble::Refused(refused)) => match again(memory, &mut route, &shape, &refused) {
                Some(other) => shape = other,
                None => return Err(refused.failure(false)),
            },
            Err(unanswered) => return Err(unanswered.failure()),
        }
    }
}

/// What to send after a refusal: in another form, or to where the group has moved. Nothing is tried twice.
fn again(memory: &dyn Memory, route: &mut Route, shape: &Shape, refused: &Refused) -> Option<Shape> {
    if let Some(moved) = refused.migrate_to.filter(|moved| *moved != route.chat_id && !shape.moved) {
        memory.set(&moved_key(route.chat_id), &moved.to_string());
        route.chat_id = moved;
        return Some(Shape { moved: true, ..*shape });
    }
    plainer(shape, refused)
}

/// The chat that a route leads to now: a group may have moved.
pub(crate) fn whereabouts(settings: &Settings, memory: &dyn Memory, route: &Route) -> Result<i64, Failure> {
    if !settings.allows_chat(route.chat_id) {
        let reason = format!("Chat {} is not among allowed_chat_ids.", route.chat_id);
        return Err(Failure::terminal("chat_not_allowed", reason));
    }
    let moved = memory.get(&moved_key(route.chat_id)).and_then(|id| id.parse().ok());
    Ok(moved.unwrap_or(route.chat_id))
}

fn moved_key(chat: i64) -> String {
    format!("moved:{chat}")
}

fn message<'o>(parts: &'o [Part], text: &'o str) -> Result<Message<'o>, Failure> {
    let mut files = parts.iter().filter_map(|part| match part {
        Part::Artifact(file) => Some(file),
        Part::Text(_) => None,
    });
    let message = Message { text, file: files.next() };
    if files.next().is_some() {
        return Err(Failure::terminal("too_many_files", "A message of Telegram carries one file."));
    }
    Ok(message)
}

/// What Telegram would refuse after the whole file was sent.
fn check_sizes(settings: &Settings, message: &Message<'_>) -> Result<(), Failure> {
    let Some(file) = message.file else { return Ok(()) };
    if file.size > FILE_BYTES && !settings.is_own_server() {
        let reason = format!("`{}` has {} bytes; a bot can send {FILE_BYTES}.", file.name, file.size);
        return Err(Failure::terminal("file_too_big", reason));
    }
    let units = markdown::units(message.text);
    if units > CAPTION_UNITS {
        let reason = format!("The caption of `{}` has {units} UTF-16 units, the limit is {CAPTION_UNITS}.", file.name);
        return Err(Failure::terminal("caption_too_long", reason));
    }
    Ok(())
}

fn send<C: Client>(api: &Api<'_, C>, route: &Route, message: &Message<'_>, shape: &Shape) -> Result<Sent, Trouble> {
    let Settings { silent, link_previews, .. } = api.settings;
    let reply = route.reply_to_message_id.filter(|_| shape.quotes);
    // A parent that was deleted must not take the answer along.
    let reply = reply.map(|id| json!({"message_id": id, "allow_sending_without_reply": true}));
    let params = Params::default()
        .with("chat_id", route.chat_id)
        .with_some("message_thread_id", route.message_thread_id.filter(|_| shape.in_topic))
        .with_some("reply_parameters", reply)
        .with_some("disable_notification", silent.then_some(true));
    let (text, marked) = written(api.settings, message, shape);
    let mode = marked.then_some("HTML");
    let Some(file) = message.file else {
        let params = params.with("text", text).with_some("parse_mode", mode);
        let previews = (!link_previews).then(|| json!({"is_disabled": true}));
        return api.call("sendMessage", &params.with_some("link_preview_options", previews));
    };
    let caption = Some(text).filter(|text| !text.is_empty());
    let params = params.with_some("parse_mode", mode.filter(|_| caption.is_some())).with_some("caption", caption);
    let kind = shape.file_kind;
    api.upload(kind.method(), &params, FormField::asset(kind.field(), &file.asset_id, &file.name))
}

/// The text as it is sent, and whether it has marks. Marks that make it too long, or leave nothing of it, are left out.
fn written(settings: &Settings, message: &Message<'_>, shape: &Shape) -> (String, bool) {
    if settings.format == Format::Markdown && shape.marked {
        let rendered = markdown::render(message.text);
        let most = if message.file.is_some() { CAPTION_UNITS } else { TEXT_UNITS };
        if (1..=most).contains(&rendered.units) && !rendered.text.trim().is_empty() {
            return (rendered.text, true);
        }
    }
    (message.text.to_owned(), false)
}

/// The detail says what became of the form, for people who wonder.
fn receipt(route: &Route, sent: &Sent, shape: &Shape) -> Receipt {
    let detail = json!({
        "chat_id": route.chat_id,
        "message_id": sent.message_id,
        "date": sent.date,
        "left_out": shape.left_out(),
    });
    Receipt { platform_id: Some(sent.message_id.to_string()), detail: json::text(&detail) }
}

#[cfg(test)]
mod tests;
