//! What the kind says about itself.

use kheish_guest::manifest::{Destination, LengthUnit, Manifest, Recipe};
use serde_json::{Value, json};

use crate::settings::API_BASE_URL;

/// The slot of the bot's token.
pub(crate) const BOT_TOKEN: &str = "bot_token";

/// The slot of what Telegram shows with each update.
pub(crate) const SECRET_TOKEN: &str = "secret_token";

/// The most that a message may have, in code units of UTF-16, once its marks are read.
pub(crate) const TEXT_UNITS: usize = 4_096;

/// The manifest of kind `telegram`.
pub(crate) fn manifest() -> Manifest {
    Manifest::new("telegram", env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_DESCRIPTION"), "."))
        .settings(settings())
        .required_secret(BOT_TOKEN, "The bot's token, as BotFather gives it: 123456:ABC-DEF…")
        .secret(
            SECRET_TOKEN,
            "What Telegram shows with each update: 1 to 256 letters, digits, _ and -. Needed by webhooks.",
        )
        .egress("api", Destination::to(&[API_BASE_URL]).unless_set("api_base_url"))
        .sent_to(BOT_TOKEN, &["api"])
        .sent_to(SECRET_TOKEN, &["api"])
        .verify(Recipe::HeaderEquals {
            id: "secret_token",
            slot: SECRET_TOKEN,
            header: "x-telegram-bot-api-secret-token",
        })
        .ingress(&["POST"], 100)
        .part_limit(TEXT_UNITS, LengthUnit::Utf16)
        .sample(sample())
}

fn settings() -> Value {
    let (Value::Object(mut properties), Value::Object(outbound)) = (inbound(), outbound()) else { return Value::Null };
    properties.extend(outbound);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Telegram bot",
        "type": "object",
        "additionalProperties": false,
        "properties": properties
    })
}

fn inbound() -> Value {
    json!({
        "ingress_mode": {
            "title": "How updates arrive",
            "description": "webhook: Telegram sends them to this daemon. polling: the daemon fetches them, from behind a firewall too.",
            "enum": ["webhook", "polling"],
            "default": "webhook"
        },
        "polling_timeout_seconds": {
            "title": "Patience of a poll",
            "description": "For how many seconds one poll waits for an update.",
            "type": "integer", "minimum": 1, "maximum": 50, "default": 30
        },
        "webhook_max_connections": {
            "title": "Connections of the webhook",
            "description": "How many connections Telegram may open at a time.",
            "type": "integer", "minimum": 1, "maximum": 100, "default": 40
        },
        "allowed_chat_ids": {
            "title": "Chats",
            "description": "The only chats that count, for messages and for answers. All when absent. Groups and channels are negative.",
            "type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1_000, "uniqueItems": true
        },
        "allowed_user_ids": {
            "title": "Senders",
            "description": "The only people, and channels that post, whose messages count. All when absent.",
            "type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1_000, "uniqueItems": true
        },
        "ignore_bots": {
            "title": "Ignore other bots",
            "description": "Leave messages of other bots alone, so that two bots do not talk to each other for ever.",
            "type": "boolean", "default": true
        },
        "album_settle_ms": {
            "title": "Patience for albums",
            "description": "How many milliseconds the pictures of one album may take to arrive; then they become one event.",
            "type": "integer", "minimum": 100, "maximum": 10_000, "default": 1_500
        }
    })
}

fn outbound() -> Value {
    json!({
        "format": {
            "title": "Format of answers",
            "description": "markdown: Markdown becomes Telegram's own marks. plain: texts go out as they are.",
            "enum": ["markdown", "plain"],
            "default": "markdown"
        },
        "reply_to": {
            "title": "Quoting",
            "description": "Which answers quote the message that they answer.",
            "enum": ["never", "groups", "always"],
            "default": "groups"
        },
        "link_previews": {
            "title": "Link previews",
            "description": "Whether links in answers get a preview.",
            "type": "boolean", "default": true
        },
        "silent": {
            "title": "Silent",
            "description": "Whether answers arrive without a sound.",
            "type": "boolean", "default": false
        },
        "api_base_url": {
            "title": "Bot API server",
            "description": "A Bot API server of your own. The token is sent there and to no other host.",
            "type": "string", "format": "uri", "minLength": 1, "maxLength": 2_048, "default": API_BASE_URL
        }
    })
}

/// The id of a test event is no number: see `update::UpdateId`.
fn sample() -> Value {
    json!({
        "update_id": "{id}",
        "message": {
            "message_id": 1, "date": 0, "text": "{text}",
            "chat": {"id": 1, "type": "private", "first_name": "kheishd"},
            "from": {"id": 1, "is_bot": false, "first_name": "kheishd"}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn every_setting_is_described_and_has_the_default_of_the_code() {
        let schema = settings();
        let properties = schema["properties"].as_object().unwrap();
        let defaults: Value = properties
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let written: Settings = serde_json::from_value(defaults).unwrap();
        assert_eq!(format!("{written:?}"), format!("{:?}", Settings::default()));
        for (name, property) in properties {
            assert!(property["title"].is_string() && property["description"].is_string(), "{name}");
        }
    }

    #[test]
    fn both_secrets_go_to_the_api_and_nowhere_else() {
        let manifest: Value = serde_json::from_str(&manifest().to_json()).unwrap();
        for slot in [BOT_TOKEN, SECRET_TOKEN] {
            assert_eq!(manifest["secrets"][slot]["sent_to"], json!(["api"]), "{slot}");
        }
        assert_eq!(manifest["egress"], json!({"api": {"origins": [API_BASE_URL], "setting": "api_base_url"}}));
        assert_eq!(manifest["verification"][0]["scheme"], "header_equals");
        assert_eq!(manifest["delivery"], json!({"limit": 4096, "unit": "utf16", "whole": false}));
    }
}
