//! Guest calls without HTTP, as the daemon itself times them.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{daemon::Place, say};

/// Kinds that are timed.
#[derive(Debug, Serialize)]
pub(crate) struct Guests {
    /// The `http` kind, with the event of all rates.
    pub(crate) http: Guest,
    /// The `slack` kind, with a message.
    pub(crate) slack: Guest,
    /// The `telegram` kind, with a message.
    pub(crate) telegram: Guest,
}

/// What `kheishd bench guest` prints.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Guest {
    /// Calls that were timed.
    pub(crate) calls: u64,
    /// Size of the event that each parsed.
    pub(crate) event_bytes: u64,
    /// The median, in microseconds: instantiate, call, drop.
    pub(crate) p50_us: f64,
    /// All but one in a hundred were shorter.
    pub(crate) p99_us: f64,
    /// The mean.
    pub(crate) mean_us: f64,
    /// From the file's bytes to a plugin that can be called, compiling.
    pub(crate) compile_cold_ms: f64,
    /// The same with compiled code on disk.
    pub(crate) load_cached_ms: f64,
}

/// Times calls of the bundled guests.
pub(crate) fn measure(place: &Place, calls: u64) -> Result<Guests> {
    say("guest calls");
    Ok(Guests {
        http: time(place, calls, "http", None)?,
        slack: time(place, calls, "slack", Some(&slack()))?,
        telegram: time(place, calls, "telegram", Some(&telegram()))?,
    })
}

fn time(place: &Place, calls: u64, kind: &str, sample: Option<&Value>) -> Result<Guest> {
    let file = place.folder().join(format!("{kind}.json"));
    if let Some(sample) = sample {
        fs::write(&file, sample.to_string())?;
    }
    let printed = place.run(|command| {
        command.args(["guest", "--calls", &calls.to_string(), "--plugin"]).arg(place.guest(kind));
        if sample.is_some() {
            command.arg("--sample").arg(&file);
        }
    })?;
    serde_json::from_slice(&printed).context("reading what `kheishd bench guest` printed")
}

/// A message in a thread, as Slack sends it with its blocks.
fn slack() -> Value {
    let text = "Order 123 has arrived with sixteen items, please check them against the note.";
    json!({
        "authenticated_by": "slack", "secrets": { "signing_secret": "bench" },
        "body": {
            "token": "XXYYZZ", "team_id": "T061EG9R6", "context_team_id": "T061EG9R6", "context_enterprise_id": null,
            "api_app_id": "A0FFV41KK", "type": "event_callback", "event_id": "Ev0PV52K21", "event_time": 1_763_000_000,
            "event_context": "4-eyJldCI6Im1lc3NhZ2UiLCJ0aWQiOiJUMDYxRUc5UjYiLCJhaWQiOiJBMEZGVjQxS0sifQ",
            "authorizations": [{ "enterprise_id": null, "team_id": "T061EG9R6", "user_id": "U0BOT", "is_bot": true,
                "is_enterprise_install": false }],
            "is_ext_shared_channel": false,
            "event": {
                "type": "message", "channel": "C024BE91L", "user": "U2147483697", "team": "T061EG9R6", "text": text,
                "client_msg_id": "3fdcd0ad-4c21-4a44-9a3c-9a1a6a5f9a11", "ts": "1763000000.000400",
                "thread_ts": "1762999000.000100", "parent_user_id": "U2147483600", "channel_type": "channel",
                "event_ts": "1763000000.000400",
                "blocks": [{ "type": "rich_text", "block_id": "xCDK9", "elements": [{ "type": "rich_text_section",
                    "elements": [{ "type": "text", "text": text }] }] }],
            },
        },
    })
}

/// A message in a topic, as Telegram sends it with its people.
fn telegram() -> Value {
    let chat = json!({ "id": -1_001_234_567_890_i64, "title": "Orders and their arrival", "type": "supergroup",
        "is_forum": true, "username": "orders_and_arrival" });
    let person = |id: u64| {
        json!({ "id": id, "is_bot": false, "first_name": "Ada", "last_name": "Lovelace",
        "username": format!("ada{id}"), "language_code": "en", "is_premium": true })
    };
    let message = |id: u64, text: &str| {
        json!({ "message_id": id, "from": person(id), "chat": chat,
        "date": 1_763_000_000, "message_thread_id": 77, "is_topic_message": true, "text": text })
    };
    let mut sent = message(421, "Order 123 has arrived with sixteen items, please check them against @the_note.");
    sent["reply_to_message"] = message(400, "Where is order 123?");
    sent["entities"] = json!([{ "type": "mention", "offset": 68, "length": 9 }]);
    json!({
        "authenticated_by": "secret_token", "body": { "update_id": 700_000_001, "message": sent },
    })
}
