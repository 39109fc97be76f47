//! From an update to an event, by webhook and polling alike.

use kheish_guest::{Event, InputPart, Relation, SessionKey, Settle, json};
use serde::Serialize;
use serde_json::Value;

use crate::{
    files,
    route::Route,
    settings::Settings,
    update::{CallbackQuery, Chat, Message, Replied, Update, UpdateId, User},
};

/// Why an update makes no event. None of this is a mistake, and Telegram would send again what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Skip {
    /// A kind that the connector does not know.
    UnsupportedUpdate,
    /// A kind that it knows, in a form that it does not.
    UnreadableUpdate,
    /// A message without anything to read: somebody joined, a title was changed.
    UnsupportedMessage,
    /// The chat is not on the list.
    ChatNotAllowed,
    /// The sender is not on the list.
    UserNotAllowed,
    /// Another bot said it.
    BotMessage,
    /// A button of a game, or below a message that the bot cannot see.
    UnsupportedCallback,
}

/// The event of one update.
pub(crate) fn of(name: &str, settings: &Settings, update: &Update) -> Result<Event, Skip> {
    let from = |kind: &str, message: &Message, relation: Option<Relation>| {
        let event = said(name, settings, &update.update_id, message)?;
        let relation = relation.or_else(|| reply(message));
        Ok(Event { source_kind: kind.to_owned(), relation, ..event })
    };
    let fresh = |kind: &str, message: &Message| {
        let event = from(kind, message, None)?;
        Ok(Event { settle: album(settings, message), ..event })
    };
    let edit = |message: &Message| Some(related("edit", message.chat.id, message.message_id));
    if let Some(message) = &update.message {
        return fresh(name, message);
    }
    if let Some(message) = &update.edited_message {
        return from("edited_message", message, edit(message));
    }
    if let Some(message) = &update.channel_post {
        return fresh("channel_post", message);
    }
    if let Some(message) = &update.edited_channel_post {
        return from("edited_channel_post", message, edit(message));
    }
    match &update.callback_query {
        Some(query) => pressed(name, settings, &update.update_id, query),
        None => Err(Skip::UnsupportedUpdate),
    }
}

/// The album that a message brings a picture of. Telegram sends each as an update of its own.
fn album(settings: &Settings, message: &Message) -> Option<Settle> {
    let group = message.media_group_id.clone().filter(|group| !group.is_empty())?;
    let position = message.message_id.unsigned_abs();
    Some(Settle { group, after_ms: settings.album_settle_ms, position })
}

fn said(name: &str, settings: &Settings, update: &UpdateId, message: &Message) -> Result<Event, Skip> {
    admit(settings, &message.chat, message.sender())?;
    if settings.ignore_bots && message.is_by_bot() {
        return Err(Skip::BotMessage);
    }
    let mut input: Vec<InputPart> = text(message).map(InputPart::Text).into_iter().collect();
    input.extend(files::of(message).into_iter().map(InputPart::RemoteFile));
    if input.is_empty() {
        return Err(Skip::UnsupportedMessage);
    }
    let metadata = Metadata { telegram_update_id: update, telegram: facts(message) };
    Ok(Event {
        id: Some(update.to_string()),
        fingerprint: Some(json::text(&[mark(message)])),
        occurred_at_ms: Some(message.edit_date.unwrap_or(message.date).saturating_mul(1_000)).filter(|at| *at > 0),
        actor: Some(message.sender().map_or_else(|| "telegram-user".to_owned(), |id| id.to_string())),
        session: session(name, message),
        input,
        // Nobody waits for the answer to a test.
        reply_route: matches!(update, UpdateId::Number(_)).then(|| json::text(&Route::back_to(message, settings))),
        metadata: json::text(&metadata),
        ..Event::new(name)
    })
}

fn pressed(name: &str, settings: &Settings, update: &UpdateId, query: &CallbackQuery) -> Result<Event, Skip> {
    let (Some(message), Some(data)) = (&query.message, &query.data) else { return Err(Skip::UnsupportedCallback) };
    admit(settings, &message.chat, Some(query.from.id))?;
    let facts = Facts { from: Some(&query.from), callback_query_id: Some(&query.id), ..facts(message) };
    Ok(Event {
        id: Some(update.to_string()),
        fingerprint: Some(json::text(&("callback_query", &query.id, query.from.id, data))),
        actor: Some(query.from.id.to_string()),
        source_kind: "callback_query".to_owned(),
        relation: Some(related("button", message.chat.id, message.message_id)),
        session: session(name, message),
        input: vec![InputPart::text(data)],
        reply_route: Some(json::text(&Route::back_to(message, settings))),
        metadata: json::text(&Metadata { telegram_update_id: update, telegram: facts }),
        ..Event::new(name)
    })
}

fn admit(settings: &Settings, chat: &Chat, sender: Option<i64>) -> Result<(), Skip> {
    if !settings.allows_chat(chat.id) {
        return Err(Skip::ChatNotAllowed);
    }
    if settings.allows_sender(sender) { Ok(()) } else { Err(Skip::UserNotAllowed) }
}

/// Contract section 3.4: the connector, the chat and the topic.
fn session(name: &str, message: &Message) -> SessionKey {
    let chat = message.chat.id;
    SessionKey::SessionId(match message.topic() {
        Some(topic) => format!("telegram:{name}:{chat}:{topic}"),
        None => format!("telegram:{name}:{chat}"),
    })
}

/// What a message says in words.
fn text(message: &Message) -> Option<String> {
    let written = [&message.text, &message.caption].into_iter().flatten().find(|text| !text.is_empty());
    if let Some(text) = written {
        return Some(text.clone());
    }
    if let Some(sticker) = &message.sticker {
        return sticker.emoji.clone();
    }
    let place = message.location.as_ref().map(|at| format!("{}, {}", at.latitude, at.longitude));
    if let Some(venue) = &message.venue {
        let coordinates = place.map(|place| format!(" ({place})")).unwrap_or_default();
        return Some(format!("Location: {}, {}{coordinates}", venue.title, venue.address));
    }
    if let Some(place) = place {
        return Some(format!("Location: {place}"));
    }
    let contact = message.contact.as_ref()?;
    let family = contact.last_name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    Some(format!("Contact: {}{family}, {}", contact.first_name, contact.phone_number))
}

/// What makes a message this one and no other. Names and titles change on their own.
fn mark(message: &Message) -> impl Serialize {
    (
        message.chat.id,
        message.message_id,
        message.topic(),
        message.sender(),
        (message.date, message.edit_date),
        text(message),
        files::identities(message),
    )
}

/// The message that it answers. Every message of a topic answers the one that opened it, which says nothing.
fn reply(message: &Message) -> Option<Relation> {
    let replied = answered(message)?;
    Some(related("reply", message.chat.id, replied.message_id))
}

fn answered(message: &Message) -> Option<&Replied> {
    message.reply_to_message.as_deref().filter(|replied| replied.forum_topic_created.is_none())
}

/// The target is the message, as `chat/message`: which update brought it is not known, and it may have been the bot's own.
fn related(kind: &str, chat: i64, message: i64) -> Relation {
    Relation { kind: kind.to_owned(), target_event_id: format!("{chat}/{message}") }
}

/// The metadata of an event.
#[derive(Serialize)]
struct Metadata<'m> {
    telegram_update_id: &'m UpdateId,
    telegram: Facts<'m>,
}

/// What else Telegram says of a message.
#[derive(Default, Serialize)]
struct Facts<'m> {
    chat: Option<&'m Chat>,
    messages: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'m User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_chat: Option<&'m Chat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to_message: Option<&'m Replied>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_group_id: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_origin: Option<&'m Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<&'m Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_query_id: Option<&'m str>,
}

fn facts(message: &Message) -> Facts<'_> {
    Facts {
        chat: Some(&message.chat),
        messages: vec![message.message_id],
        message_thread_id: message.topic(),
        from: message.from.as_ref(),
        sender_chat: message.sender_chat.as_ref(),
        reply_to_message: answered(message),
        media_group_id: message.media_group_id.as_deref(),
        forward_origin: message.forward_origin.as_ref(),
        entities: message.entities.as_ref().or(message.caption_entities.as_ref()),
        callback_query_id: None,
    }
}

#[cfg(test)]
mod tests;
