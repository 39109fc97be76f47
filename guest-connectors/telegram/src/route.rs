//! Where an answer goes: a chat, a topic of it, and the message that it answers.

use serde::{Deserialize, Serialize};

use crate::{
    settings::{ReplyTo, Settings},
    update::Message,
};

/// Where an answer goes. The members are the contract's (section 7).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The chat. Groups and channels are negative.
    pub(crate) chat_id: i64,
    /// The topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_thread_id: Option<i64>,
    /// The message that is quoted, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to_message_id: Option<i64>,
}

impl Route {
    /// The way back to where a message was written.
    pub(crate) fn back_to(message: &Message, settings: &Settings) -> Self {
        let quotes = match settings.reply_to {
            ReplyTo::Never => false,
            ReplyTo::Groups => ["group", "supergroup"].contains(&message.chat.kind.as_str()),
            ReplyTo::Always => true,
        };
        Self {
            chat_id: message.chat.id,
            message_thread_id: message.topic(),
            reply_to_message_id: quotes.then_some(message.message_id),
        }
    }

    /// The route in its normal form, or what is wrong with it.
    pub(crate) fn check(self, settings: &Settings) -> Result<Self, String> {
        if self.chat_id == 0 {
            return Err("chat_id is 0: name a chat, a group's is negative.".to_owned());
        }
        if !settings.allows_chat(self.chat_id) {
            return Err(format!("chat {} is not among allowed_chat_ids: add it there first.", self.chat_id));
        }
        for (name, id) in
            [("message_thread_id", self.message_thread_id), ("reply_to_message_id", self.reply_to_message_id)]
        {
            if id.is_some_and(|id| id <= 0) {
                return Err(format!("{name} is not above 0: name one, or leave it out."));
            }
        }
        // The general topic has number 1 and is the chat without a topic.
        Ok(Self { message_thread_id: self.message_thread_id.filter(|topic| *topic != 1), ..self })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(route: serde_json::Value, settings: serde_json::Value) -> Result<Route, String> {
        let route: Route = serde_json::from_value(route).map_err(|error| error.to_string())?;
        route.check(&serde_json::from_value(settings).unwrap())
    }

    #[test]
    fn one_place_has_one_form() {
        let general = check(json!({"chat_id": -5, "message_thread_id": 1}), json!({})).unwrap();
        assert_eq!(general, check(json!({"chat_id": -5}), json!({})).unwrap());
        assert_eq!(serde_json::to_value(general).unwrap(), json!({"chat_id": -5}));
    }

    #[test]
    fn routes_to_nowhere_are_refused() {
        for route in [
            json!({}),
            json!({"chat_id": 0}),
            json!({"chat_id": "@channel"}),
            json!({"chat_id": 5, "message_thread_id": 0}),
            json!({"chat_id": 5, "reply_to_message_id": -1}),
            json!({"chat_id": 5, "thread": 2}),
        ] {
            assert!(check(route.clone(), json!({})).is_err(), "{route}");
        }
        assert!(
            check(json!({"chat_id": 5}), json!({"allowed_chat_ids": [6]})).unwrap_err().contains("allowed_chat_ids")
        );
    }
}
