//! Messages: posting them, and reading them back.

use serde_json::{Value, json};

use super::state::{BOT, Message, No, State, arg};
use crate::sign::now;

/// A text of more characters comes out as several messages.
const MESSAGE: usize = 4_000;

/// A text of more characters is refused.
const LONGEST: usize = 40_000;

impl State {
    /// Somebody, or the bot, says something. Gives its timestamp.
    pub(super) fn say(&mut self, channel: &str, args: Value) -> String {
        let ts = self.ts();
        let message = Message {
            ts: ts.clone(),
            text: args["text"].as_str().unwrap_or_default().to_owned(),
            thread_ts: arg(&args, "thread_ts").map(str::to_owned),
            files: args["files"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            by_bot: args["user"].is_null(),
            args,
        };
        self.channel_mut(channel).messages.push(message);
        ts
    }

    pub(super) fn post_message(&mut self, args: &Value) -> Result<Value, No> {
        let channel = self.open(args)?;
        self.may_post(&channel, args)?;
        let text = args["text"].as_str().unwrap_or_default();
        if text.trim().is_empty() {
            return Err(No::Word("no_text"));
        }
        let length = text.chars().count();
        if length > LONGEST {
            return Err(No::Word("msg_too_long"));
        }
        if length > MESSAGE {
            self.violate(format!("a text of {length} characters becomes several messages"));
        }
        if text.contains("<!") || text.contains("<@") {
            self.violate(format!("a text that pings: {text}"));
        }
        let metadata = &args["metadata"];
        if !metadata.is_null() && (arg(metadata, "event_type").is_none() || !metadata["event_payload"].is_object()) {
            return Err(No::Word("invalid_metadata_format"));
        }
        if !args["client_msg_id"].is_null() && args["client_msg_id"].as_str().is_none_or(|id| id.len() != 36) {
            return Err(No::Word("invalid_arguments"));
        }
        self.spend(&channel)?;
        let ts = self.say(&channel, args.clone());
        Ok(json!({"channel": channel, "ts": ts, "message": {"bot_id": BOT, "text": text, "ts": ts}}))
    }

    pub(super) fn post_ephemeral(&mut self, args: &Value) -> Result<Value, No> {
        let channel = self.open(args)?;
        self.may_post(&channel, args)?;
        if arg(args, "user").is_none() {
            return Err(No::Word("user_not_in_channel"));
        }
        self.spend(&channel)?;
        self.whispers.push(args.clone());
        Ok(json!({"message_ts": self.ts()}))
    }

    /// Only direct messages are threads of assistants.
    pub(super) fn set_status(&mut self, args: &Value) -> Result<Value, No> {
        let channel = arg(args, "channel_id").filter(|id| id.starts_with('D')).unwrap_or_default().to_owned();
        if arg(args, "thread_ts").is_none() || args["status"].as_str().is_none() {
            return Err(No::Word("invalid_arguments"));
        }
        self.may_post(&channel, args)?;
        Ok(json!({}))
    }

    /// Whether the bot may say something there, in that thread.
    pub(super) fn may_post(&self, channel: &str, args: &Value) -> Result<(), No> {
        let Some(found) = self.seen(channel) else { return Err(No::Word("channel_not_found")) };
        if !found.member {
            return Err(No::Word("not_in_channel"));
        }
        match arg(args, "thread_ts") {
            Some(thread)
                if !found.messages.iter().any(|message| message.ts == thread && message.thread_ts.is_none()) =>
            {
                Err(No::Word("thread_not_found"))
            }
            _ => Ok(()),
        }
    }

    /// One message each second, with a burst now and then.
    pub(super) fn spend(&mut self, channel: &str) -> Result<(), No> {
        let (burst, quicker, now_ms) = (f64::from(self.burst), self.quicker, now().as_millis());
        let channel = self.channel_mut(channel);
        let (left, at) = channel.budget.unwrap_or((burst, now_ms));
        #[expect(clippy::cast_precision_loss, reason = "a test lasts no thousand years")]
        let left = (left + now_ms.saturating_sub(at) as f64 * quicker / 1_000.0).min(burst);
        channel.budget = Some((if left >= 1.0 { left - 1.0 } else { left }, now_ms));
        if left >= 1.0 {
            return Ok(());
        }
        self.floods += 1;
        Err(No::Flood(1))
    }

    /// The channel of a call; a user's is the one between the bot and them.
    pub(super) fn open(&mut self, args: &Value) -> Result<String, No> {
        let named = arg(args, "channel").or_else(|| arg(args, "channel_id")).or_else(|| arg(args, "users"));
        let Some(id) = named else { return Err(No::Word("channel_not_found")) };
        let Some(user) = id.strip_prefix('U') else { return Ok(id.to_owned()) };
        let channel = format!("D{user}");
        let team = self.team.clone();
        self.channel_mut(&channel).team = team;
        Ok(channel)
    }

    pub(super) fn history(&mut self, args: &Value) -> Result<Value, No> {
        self.page(args, None)
    }

    pub(super) fn replies(&mut self, args: &Value) -> Result<Value, No> {
        let Some(thread) = arg(args, "ts").map(str::to_owned) else { return Err(No::Word("thread_not_found")) };
        self.page(args, Some(&thread))
    }

    fn page(&mut self, args: &Value, thread: Option<&str>) -> Result<Value, No> {
        let found = arg(args, "channel").and_then(|id| self.seen(id));
        let Some(channel) = found else { return Err(No::Word("channel_not_found")) };
        if thread.is_some_and(|thread| !channel.messages.iter().any(|message| message.ts == thread)) {
            return Err(No::Word("thread_not_found"));
        }
        let number = |name: &str| args[name].as_str().and_then(|text| text.parse::<f64>().ok());
        let oldest = number("oldest").unwrap_or(0.0);
        let within = |message: &&Message| match thread {
            Some(thread) => message.ts == thread || message.thread_ts.as_deref() == Some(thread),
            None => message.thread_ts.is_none(),
        };
        let newer = |message: &&Message| message.ts.parse::<f64>().unwrap_or_default() >= oldest;
        let all: Vec<&Message> = channel.messages.iter().filter(within).filter(newer).rev().collect();
        let from: usize = arg(args, "cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a page is small")]
        let size = number("limit").unwrap_or(100.0).clamp(1.0, 1_000.0) as usize;
        let with_metadata = args["include_all_metadata"] == true
            || ["true", "1"].contains(&arg(args, "include_all_metadata").unwrap_or_default());
        let page = all.iter().skip(from).take(size).map(|message| {
            let mut shown =
                json!({"type": "message", "ts": message.ts, "text": message.text, "thread_ts": message.thread_ts});
            if with_metadata {
                shown["metadata"] = message.args["metadata"].clone();
            }
            shown
        });
        let next = if from + size < all.len() { (from + size).to_string() } else { String::new() };
        Ok(json!({"messages": page.collect::<Vec<_>>(), "response_metadata": {"next_cursor": next}}))
    }
}
