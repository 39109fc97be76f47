//! What the kind says about itself.

use kheish_guest::manifest::{Destination, LengthUnit, Manifest, Pace, Recipe};
use serde_json::{Value, json};

use crate::{settings::API_BASE_URL, typing::LASTS_MS};

/// The slot of the bot's token.
pub(crate) const BOT_TOKEN: &str = "bot_token";

/// The slot of what Telegram shows with each update.
pub(crate) const SECRET_TOKEN: &str = "secret_token";

/// The most that a message may have, in code units of UTF-16, once its marks are read.
pub(crate) const TEXT_UNITS: usize = 4_096;

/// The most that a caption may have, likewise.
pub(crate) const CAPTION_UNITS: usize = 1_024;

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
        .closed_by("ingress_mode", "polling")
        .part_limit(TEXT_UNITS, LengthUnit::Utf16)
        .caption_limit(CAPTION_UNITS)
        .sign_lasts(LASTS_MS)
        .sample(sample())
        // At most 20 a minute to a group, about one a second to a chat, and 30 a second in all: burst and rate together.
        .pace(Pace::by("/chat_id", 15, 60_000).starting("-").burst(4))
        .pace(Pace::by("/chat_id", 5, 6_000).burst(3))
        .pace(Pace::of_all(25, 1_000).burst(3))
}

/// A file of its own, because code that builds it would be larger than all the rest of this connector's answers.
fn settings() -> Value {
    match serde_json::from_str(include_str!("settings.schema.json")) {
        Ok(schema) => schema,
        Err(error) => panic!("settings.schema.json is not JSON: {error}"),
    }
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
        assert_eq!([&manifest["delivery"]["limit"], &manifest["delivery"]["caption"]], [4096, 1024]);
    }

    #[test]
    fn no_window_holds_more_than_telegram_takes() {
        let manifest: Value = serde_json::from_str(&manifest().to_json()).unwrap();
        let most = |rule: usize, window_ms: u64| {
            let [amount, per_ms, burst] =
                ["amount", "per_ms", "burst"].map(|name| manifest["delivery"]["pace"][rule][name].as_u64().unwrap());
            amount * window_ms / per_ms + burst
        };
        assert!(most(0, 60_000) < 20, "a minute of a group");
        assert!(most(1, 20_000) <= 20, "twenty seconds of a chat");
        assert!(most(2, 1_000) < 30, "a second of the bot");
    }
}
