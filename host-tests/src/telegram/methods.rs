//! The methods, but for the poll.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    html,
    params::Params,
    state::{Message, No, State},
};

/// The most of a message, and of a caption, in code units of UTF-16 once marks are read.
const TEXT_UNITS: usize = 4_096;
const CAPTION_UNITS: usize = 1_024;
/// The largest file that a bot sends, and the largest picture, in bytes.
const UPLOAD_BYTES: usize = 50 * 1024 * 1024;
const PHOTO_BYTES: usize = 10 * 1024 * 1024;

impl State {
    /// Does what a method says. Its name is in small letters.
    pub(super) fn call(&mut self, method: &str, params: &Params) -> Result<Value, No> {
        match method {
            "getme" => Ok(json!({
                "id": 4_839_574_812_i64, "is_bot": true, "first_name": "Double", "username": "double_bot",
                "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
            })),
            "sendmessage" => self.send_message(params),
            "sendphoto" => self.send_file("photo", PHOTO_BYTES, params),
            "sendaudio" => self.send_file("audio", UPLOAD_BYTES, params),
            "sendvideo" => self.send_file("video", UPLOAD_BYTES, params),
            "senddocument" => self.send_file("document", UPLOAD_BYTES, params),
            "sendchataction" => self.destination(params).map(|_| json!(true)),
            "answercallbackquery" => self.answer_query(params),
            "getfile" => self.files.find(&params.need_text("file_id")?),
            "setwebhook" => self.set_webhook(params),
            "deletewebhook" => {
                if params.flag("drop_pending_updates") {
                    self.updates.clear();
                }
                self.webhook.url.clear();
                self.webhook.secret = None;
                Ok(json!(true))
            }
            "getwebhookinfo" => Ok(self.webhook_info()),
            _ => Err(No::not_found()),
        }
    }

    fn send_message(&mut self, params: &Params) -> Result<Value, No> {
        let (chat, topic) = self.destination(params)?;
        let (text, marked) = written(params, "text")?;
        if text.trim().is_empty() {
            return Err(No::bad("message text is empty"));
        }
        if html::units(&text) > TEXT_UNITS {
            return Err(No::bad("message is too long"));
        }
        let quotes = self.quoted(chat, params)?;
        let message = Message { id: 0, chat, topic, quotes, text, marked, file: None };
        self.send(message, &Value::Null)
    }

    fn send_file(&mut self, field: &str, most: usize, params: &Params) -> Result<Value, No> {
        let (chat, topic) = self.destination(params)?;
        let (text, marked) = written(params, "caption")?;
        if html::units(&text) > CAPTION_UNITS {
            return Err(No::bad("message caption is too long"));
        }
        let Some(upload) = params.upload(field).cloned() else {
            return Err(No::bad(&format!("there is no {field} in the request")));
        };
        if upload.bytes.is_empty() {
            return Err(No::bad("file must be non-empty"));
        }
        if upload.bytes.len() > most {
            return Err(No::bad(&format!("file of size {} bytes is too big for a {field}", upload.bytes.len())));
        }
        let quotes = self.quoted(chat, params)?;
        let file = Some((field.to_owned(), upload.name.clone(), upload.bytes.len()));
        let object = self.files.keep(&upload.name, upload.bytes);
        let object = if field == "photo" { json!({ field: [object] }) } else { json!({ field: object }) };
        self.send(Message { id: 0, chat, topic, quotes, text, marked, file }, &object)
    }

    fn send(&mut self, mut message: Message, members: &Value) -> Result<Value, No> {
        self.rates.spend(message.chat, Instant::now()).map_err(No::too_fast)?;
        message.id = self.message_number();
        let kind = self.chats.get(&message.chat).map_or("private", |chat| chat.kind);
        let mut view = json!({
            "message_id": message.id, "date": self.now_secs(),
            "chat": { "id": message.chat, "type": kind, "first_name": "Ada" },
            "from": { "id": 4_839_574_812_i64, "is_bot": true, "first_name": "Double" },
        });
        if let (Some(view), Value::Object(members)) = (view.as_object_mut(), members.clone()) {
            view.extend(members);
        }
        view[if message.file.is_some() { "caption" } else { "text" }] = json!(message.text);
        self.sent.push(message);
        Ok(view)
    }

    /// The chat and the topic that a call names, if something can be sent there.
    fn destination(&self, params: &Params) -> Result<(i64, Option<i64>), No> {
        let id = params.need_text("chat_id")?;
        let chat = id.parse().ok().and_then(|id: i64| self.chats.get(&id));
        let Some(chat) = chat else { return Err(No::bad("chat not found")) };
        if let Some(moved) = chat.moved_to {
            return Err(No::moved(moved));
        }
        if !chat.forbidden.is_empty() {
            return Err(No::forbidden(chat.forbidden));
        }
        let topic = params.number("message_thread_id");
        if topic.is_some_and(|topic| !chat.topics.contains(&topic)) {
            return Err(No::bad("message thread not found"));
        }
        Ok((chat.id, topic))
    }

    /// The message that a call quotes. The double knows the bot's own and takes those of people for granted.
    fn quoted(&self, chat: i64, params: &Params) -> Result<Option<i64>, No> {
        let Some(reply) = params.json("reply_parameters") else { return Ok(None) };
        let Some(id) = reply["message_id"].as_i64().filter(|id| *id > 0) else {
            return Err(No::bad("can't parse reply parameters JSON object"));
        };
        let elsewhere = self.sent.iter().any(|message| message.id == id && message.chat != chat);
        let future = id >= self.peek_message_number();
        match (elsewhere || future, reply["allow_sending_without_reply"] == true) {
            (false, _) => Ok(Some(id)),
            (true, true) => Ok(None),
            (true, false) => Err(No::bad("message to be replied not found")),
        }
    }

    fn answer_query(&mut self, params: &Params) -> Result<Value, No> {
        let id = params.need_text("callback_query_id")?;
        if params.text("text").is_some_and(|text| text.chars().count() > 200) {
            return Err(No::bad("MESSAGE_TOO_LONG"));
        }
        let Some(place) = self.queries.iter().position(|known| *known == id) else {
            return Err(No::bad("query is too old and response timeout expired or query ID is invalid"));
        };
        self.queries.remove(place);
        Ok(json!(true))
    }

    fn set_webhook(&mut self, params: &Params) -> Result<Value, No> {
        let url = params.text("url").unwrap_or_default();
        if !url.is_empty() && !url.starts_with("https://") {
            return Err(No::bad("bad webhook: An HTTPS URL must be provided for webhook"));
        }
        let secret = params.text("secret_token");
        let plain = |secret: &String| secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if secret.as_ref().is_some_and(|secret| secret.len() > 256 || !plain(secret)) {
            return Err(No::bad("secret token contains unallowed characters"));
        }
        if params.flag("drop_pending_updates") {
            self.updates.clear();
        }
        self.webhook.url = url;
        self.webhook.secret = secret;
        self.webhook.max_connections = params.number("max_connections").or(Some(40));
        if let Some(allowed) = params.json("allowed_updates") {
            self.webhook.allowed = Some(allowed);
        }
        Ok(json!(true))
    }

    fn webhook_info(&self) -> Value {
        let mut info = json!({
            "url": self.webhook.url, "has_custom_certificate": false, "pending_update_count": self.updates.len(),
        });
        if !self.webhook.url.is_empty() {
            info["max_connections"] = json!(self.webhook.max_connections);
        }
        if let Some(allowed) = &self.webhook.allowed {
            info["allowed_updates"] = allowed.clone();
        }
        info
    }
}

/// A text as people see it, and with its marks where it has some.
fn written(params: &Params, name: &str) -> Result<(String, Option<String>), No> {
    let text = params.text(name).unwrap_or_default();
    match params.text("parse_mode").as_deref() {
        None | Some("") => Ok((text, None)),
        Some(mode) if mode.eq_ignore_ascii_case("html") => {
            let visible = html::visible(&text).map_err(|words| No::bad(&words))?;
            Ok((visible, Some(text)))
        }
        Some(_) => Err(No::bad("unsupported parse_mode")),
    }
}
