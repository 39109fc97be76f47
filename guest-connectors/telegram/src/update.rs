//! Updates of the Bot API, as far as this connector reads them. What it does not know is left out and does not count.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// One update: an id, and one of the kinds. Kinds that are not here are not supported. Boxes keep it small: a component's
/// stack is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Update {
    pub(crate) update_id: UpdateId,
    pub(crate) message: Option<Box<Message>>,
    pub(crate) edited_message: Option<Box<Message>>,
    pub(crate) channel_post: Option<Box<Message>>,
    pub(crate) edited_channel_post: Option<Box<Message>>,
    pub(crate) callback_query: Option<Box<CallbackQuery>>,
}

/// The least that every update has.
#[derive(Debug, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) update_id: UpdateId,
}

/// What tells updates apart: Telegram's number, or the name of a test event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum UpdateId {
    Number(i64),
    Test(String),
}

/// How the ids of the host's own test events begin.
const TEST: &str = "kheishd-test-";

impl Default for UpdateId {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl fmt::Display for UpdateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Test(name) => name.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for UpdateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl de::Visitor<'_> for IdVisitor {
    type Value = UpdateId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the number of an update")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<UpdateId, E> {
        Ok(UpdateId::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<UpdateId, E> {
        i64::try_from(number).map(UpdateId::Number).map_err(|_| E::custom("the number of the update is too large"))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<UpdateId, E> {
        let plain = name.starts_with(TEST) && name.len() <= 128;
        if plain { Ok(UpdateId::Test(name.to_owned())) } else { Err(E::invalid_type(de::Unexpected::Str(name), &self)) }
    }
}

/// The kinds that are asked for, in the Bot API's words.
pub(crate) const KINDS: [&str; 5] =
    ["message", "edited_message", "channel_post", "edited_channel_post", "callback_query"];

/// A message, or a post in a channel.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Message {
    pub(crate) message_id: i64,
    pub(crate) chat: Chat,
    /// Unix seconds; 0 for a message that is too old to be read.
    #[serde(default)]
    pub(crate) date: u64,
    pub(crate) edit_date: Option<u64>,
    pub(crate) from: Option<User>,
    /// On whose behalf it was sent: a channel, or a group whose administrator stays anonymous.
    pub(crate) sender_chat: Option<Chat>,
    pub(crate) message_thread_id: Option<i64>,
    #[serde(default)]
    pub(crate) is_topic_message: bool,
    pub(crate) reply_to_message: Option<Box<Replied>>,
    pub(crate) media_group_id: Option<String>,
    pub(crate) forward_origin: Option<Value>,
    pub(crate) text: Option<String>,
    pub(crate) entities: Option<Value>,
    pub(crate) caption: Option<String>,
    pub(crate) caption_entities: Option<Value>,
    #[serde(default)]
    pub(crate) photo: Vec<File>,
    pub(crate) document: Option<Box<File>>,
    pub(crate) voice: Option<Box<File>>,
    pub(crate) audio: Option<Box<File>>,
    pub(crate) video: Option<Box<File>>,
    pub(crate) video_note: Option<Box<File>>,
    pub(crate) sticker: Option<Box<File>>,
    pub(crate) animation: Option<Box<File>>,
    pub(crate) location: Option<Location>,
    pub(crate) venue: Option<Venue>,
    pub(crate) contact: Option<Contact>,
}

/// A chat.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
}

/// A person or a bot.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_bot: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language_code: Option<String>,
}

/// The message that a message answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Replied {
    pub(crate) message_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caption: Option<String>,
    /// Set on the message that opened a topic: every message of the topic answers it, and means nothing by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forum_topic_created: Option<Value>,
}

/// A file of any kind.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct File {
    pub(crate) file_id: String,
    /// The same for everybody and for good, unlike `file_id`.
    #[serde(default)]
    pub(crate) file_unique_id: String,
    pub(crate) file_size: Option<u64>,
    pub(crate) file_name: Option<String>,
    pub(crate) mime_type: Option<String>,
    pub(crate) width: Option<u64>,
    pub(crate) height: Option<u64>,
    /// Of a sticker.
    pub(crate) emoji: Option<String>,
    /// A sticker that moves by itself.
    #[serde(default)]
    pub(crate) is_animated: bool,
    /// A sticker that is a video.
    #[serde(default)]
    pub(crate) is_video: bool,
}

/// A place.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Location {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

/// A place with a name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Venue {
    pub(crate) title: String,
    pub(crate) address: String,
}

/// Somebody's telephone number.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Contact {
    pub(crate) phone_number: String,
    pub(crate) first_name: String,
    pub(crate) last_name: Option<String>,
}

/// A button that was pressed.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct CallbackQuery {
    pub(crate) id: String,
    pub(crate) from: User,
    /// The message that the button belongs to; absent for messages that were sent by way of the bot.
    pub(crate) message: Option<Box<Message>>,
    /// What the button says to the bot; absent for games.
    pub(crate) data: Option<String>,
}

impl Message {
    /// The topic that it belongs to. In groups without topics the thread is that of a reply, where nothing can be sent to.
    pub(crate) fn topic(&self) -> Option<i64> {
        self.message_thread_id.filter(|_| self.is_topic_message)
    }

    /// Who says it: whoever it is sent on behalf of, else the person.
    pub(crate) fn sender(&self) -> Option<i64> {
        let person = self.from.as_ref().map(|user| user.id);
        self.sender_chat.as_ref().map(|chat| chat.id).or(person)
    }

    /// Whether a program says it. What is sent on behalf of a chat comes from a person behind one of Telegram's own accounts.
    pub(crate) fn is_by_bot(&self) -> bool {
        self.sender_chat.is_none() && self.from.as_ref().is_some_and(|user| user.is_bot)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
