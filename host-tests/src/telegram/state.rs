//! What Telegram knows: chats, messages, updates, the webhook, and everything that it was asked.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{files::Files, rates::Rates};
use crate::sign;

/// One call of the API, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its place among all calls, from 0.
    pub index: usize,
    /// The method, as it was written.
    pub method: String,
    /// What it was given; of files their names and sizes.
    pub params: Value,
}

/// A message that the bot has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the chat.
    pub id: i64,
    /// The chat.
    pub chat: i64,
    /// The topic.
    pub topic: Option<i64>,
    /// The message that it quotes.
    pub quotes: Option<i64>,
    /// Its text or caption, as people see it.
    pub text: String,
    /// The same with its marks, where it came with some.
    pub marked: Option<String>,
    /// The method that sent it, and the file that came along: its name and size.
    pub file: Option<(String, String, usize)>,
}

/// A chat.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Its id; groups and channels are negative.
    pub id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    pub kind: &'static str,
    /// Its topics.
    pub topics: Vec<i64>,
    /// Why nothing can be sent to it, in Telegram's words; empty when it can.
    pub forbidden: &'static str,
    /// The supergroup that it has become.
    pub moved_to: Option<i64>,
}

impl Chat {
    /// A chat with one person.
    pub fn private(id: i64) -> Self {
        Self { id, kind: "private", topics: Vec::new(), forbidden: "", moved_to: None }
    }

    /// A group with these topics.
    pub fn group(id: i64, topics: &[i64]) -> Self {
        Self { kind: "supergroup", topics: topics.to_vec(), ..Self::private(id) }
    }
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing but this answer.
    Answer(u16, Value),
    /// Nothing: the connection is closed before anything is done.
    HangUp,
    /// It is done, and the connection is closed without an answer.
    DoAndHangUp,
    /// It is done, and no answer ever comes.
    DoAndStall,
    /// It is done, as if there was no fault.
    Pass,
}

/// A no, in Telegram's form.
#[derive(Debug)]
pub(super) struct No {
    pub(super) status: u16,
    description: String,
    parameters: Value,
}

impl No {
    pub(super) fn bad(words: &str) -> Self {
        Self::new(400, format!("Bad Request: {words}"))
    }

    pub(super) fn forbidden(words: &str) -> Self {
        Self::new(403, format!("Forbidden: {words}"))
    }

    pub(super) fn conflict(words: &str) -> Self {
        Self::new(409, format!("Conflict: {words}"))
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "Not Found".to_owned())
    }

    pub(super) fn moved(to: i64) -> Self {
        let words = "group chat was upgraded to a supergroup chat";
        Self { parameters: json!({ "migrate_to_chat_id": to }), ..Self::bad(words) }
    }

    pub(super) fn too_fast(secs: u64) -> Self {
        let no = Self::new(429, format!("Too Many Requests: retry after {secs}"));
        Self { parameters: json!({ "retry_after": secs }), ..no }
    }

    fn new(status: u16, description: String) -> Self {
        Self { status, description, parameters: Value::Null }
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "ok": false, "error_code": self.status, "description": self.description });
        if !self.parameters.is_null() {
            body["parameters"] = self.parameters.clone();
        }
        body
    }
}

/// An update that nobody has confirmed.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) content: Value,
}

/// The webhook.
#[derive(Debug, Default)]
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) secret: Option<String>,
    pub(super) max_connections: Option<i64>,
    pub(super) allowed: Option<Value>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct State {
    token: &'static str,
    pub(super) revoked: bool,
    pub(super) ahead_secs: u64,
    pub(super) chats: HashMap<i64, Chat>,
    pub(super) faults: HashMap<String, Vec<Fault>>,
    pub(super) rates: Rates,
    pub(super) files: Files,
    pub(super) log: Vec<Call>,
    pub(super) sent: Vec<Message>,
    pub(super) updates: Vec<Waiting>,
    pub(super) next_update: i64,
    next_message: i64,
    /// Buttons that were pressed and not yet answered.
    pub(super) queries: Vec<String>,
    pub(super) webhook: Webhook,
    /// The number of the poll that counts.
    pub(super) poll: u64,
}

impl State {
    pub(super) fn new(token: &'static str) -> Self {
        Self {
            token,
            revoked: false,
            ahead_secs: 0,
            chats: HashMap::new(),
            faults: HashMap::new(),
            rates: Rates::default(),
            files: Files::default(),
            log: Vec::new(),
            sent: Vec::new(),
            updates: Vec::new(),
            next_update: 700_000_001,
            next_message: 1,
            queries: Vec::new(),
            webhook: Webhook::default(),
            poll: 0,
        }
    }

    pub(super) fn check_token(&self, token: &str) -> Result<(), No> {
        if token == self.token && !self.revoked {
            return Ok(());
        }
        let formed = token.split_once(':').is_some_and(|(id, rest)| id.parse::<u64>().is_ok() && rest.len() >= 30);
        Err(if formed { No::new(401, "Unauthorized".to_owned()) } else { No::not_found() })
    }

    pub(super) fn now_secs(&self) -> u64 {
        sign::now_secs() + self.ahead_secs
    }

    /// The time as HTTP writes it.
    pub(super) fn date(&self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.now_secs()))
    }

    pub(super) fn peek_message_number(&self) -> i64 {
        self.next_message
    }

    pub(super) fn message_number(&mut self) -> i64 {
        self.next_message += 1;
        self.next_message - 1
    }

    pub(super) fn happen(&mut self, kind: &str, content: Value) -> i64 {
        let id = self.next_update;
        self.next_update += 1;
        if kind == "callback_query" {
            self.queries.extend(content["id"].as_str().map(str::to_owned));
        }
        let allowed = self.webhook.allowed.as_ref().and_then(Value::as_array);
        if allowed.is_none_or(|kinds| kinds.is_empty() || kinds.iter().any(|one| one == kind)) {
            self.updates.push(Waiting { id, content: json!({ "update_id": id, kind: content }) });
        }
        id
    }

    pub(super) fn incoming(&mut self, chat: i64, members: Value) -> Value {
        let kind = self.chats.get(&chat).map_or("private", |chat| chat.kind);
        let person = json!({ "id": chat.abs(), "is_bot": false, "first_name": "Ada", "language_code": "en" });
        let mut message = json!({
            "message_id": self.message_number(), "date": self.now_secs(), "from": person,
            "chat": { "id": chat, "type": kind, "first_name": "Ada" },
        });
        if let (Some(message), Value::Object(members)) = (message.as_object_mut(), members) {
            message.extend(members);
        }
        message
    }
}
