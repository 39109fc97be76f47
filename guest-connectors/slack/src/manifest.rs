//! What the kind says about itself.

use kheish_guest::manifest::{Destination, Hmac, LengthUnit, Manifest, Pace, UnknownPolicy};
use serde_json::{Value, json};

use crate::{seal::SIGNING_SECRET, status::LASTS_MS};

/// The slot of the token that speaks for the app.
pub(crate) const BOT_TOKEN: &str = "bot_token";

/// The list of workspaces with tokens of their own.
pub(crate) const TEAM_BOT_TOKENS: &str = "team_bot_tokens";

/// The most of one text. Slack makes several messages, with one name between them, of more than 4,000 characters; escaping makes
/// texts longer, so there is room for it.
const TEXT_LIMIT: usize = 3_000;

/// Longest name of a workspace, channel or app.
const MAX_ID: usize = 64;

/// The manifest of kind `slack`.
pub(crate) fn manifest() -> Manifest {
    Manifest::new("slack", env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_DESCRIPTION"), "."))
        .settings(settings())
        .secret(SIGNING_SECRET, "The app's signing secret, which Slack signs its requests with.")
        .secret(BOT_TOKEN, "The bot token (`xoxb-…`) that answers are posted with and files are fetched with.")
        .secret_list(
            TEAM_BOT_TOKENS,
            ("team_id", BOT_TOKEN),
            "Bot tokens of workspaces that have one of their own; `bot_token` speaks in all others.",
        )
        .egress("api", Destination::to(&["https://slack.com"]).unless_set("api_base_url"))
        .egress(
            "files",
            Destination::to(&["https://files.slack.com", "https://files.slack-edge.com", "https://slack-files.com"])
                .unless_set("allowed_file_hosts"),
        )
        .egress("hooks", Destination::to(&["https://hooks.slack.com"]))
        .egress("uploads", Destination::to(&["https://files.slack.com"]))
        .sent_to(BOT_TOKEN, &["api", "files"])
        .sent_to(TEAM_BOT_TOKENS, &["api", "files"])
        .answers_with(&[BOT_TOKEN, TEAM_BOT_TOKENS])
        .verify(Hmac {
            id: "slack_v0",
            slot: SIGNING_SECRET,
            template: "v0:{timestamp}:{body}",
            signature_header: "x-slack-signature",
            signature_prefix: "v0=",
            timestamp_header: Some("x-slack-request-timestamp"),
            max_age_secs: Some(300),
            ..Hmac::default()
        })
        .ingress(&["POST"], 60)
        .sample(sample())
        .part_limit(TEXT_LIMIT, LengthUnit::Utf16)
        .unknown_deliveries(UnknownPolicy::Pass)
        // Slack takes one message a second into a channel, and short bursts.
        .pace(Pace::by("/channel_id", 1, 1_000).burst(3))
        .sign_lasts(LASTS_MS)
}

fn sample() -> Value {
    json!({
        "type": "event_callback", "team_id": "T0TEST", "api_app_id": "A0TEST", "event_id": "{id}",
        "event": {
            "type": "message", "channel": "C0TEST", "user": "U0TEST", "text": "{text}", "client_msg_id": "{id}",
            "ts": "1700000000.000100",
        },
    })
}

fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "api_base_url": {
                "title": "Web API",
                "description": "Where Slack's Web API is: a proxy of your own, or a double in a test.",
                "type": "string",
                "format": "uri",
                "pattern": "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$",
                "maxLength": 2048,
                "default": "https://slack.com/api"
            },
            "allowed_api_app_ids": ids("Apps", "Only requests for these apps (`A…`) are taken; all when empty."),
            "allowed_enterprise_ids": ids(
                "Organisations",
                "Only requests from these Enterprise Grid organisations (`E…`) are taken; all when empty."
            ),
            "allowed_team_ids": ids("Workspaces", "Only requests from these workspaces (`T…`) are taken; all when empty."),
            "allowed_channel_ids": ids(
                "Channels",
                "Only these channels (`C…`, `D…`, `G…`) are listened to and posted to; all when empty."
            ),
            "allowed_file_hosts": {
                "title": "Hosts of files",
                "description": "The only hosts that files are fetched from, with the bot token; Slack's own when absent.",
                "type": "array",
                "items": {"type": "string", "pattern": "^[a-z0-9.-]+$", "maxLength": 253},
                "minItems": 1,
                "maxItems": 16
            },
            "additional_binding_keys": {
                "title": "Shared conversation",
                "description": "Binding keys of every event: all conversations of the connector become one.",
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 512},
                "maxItems": 16,
                "default": []
            },
            "edits": switch("Edits", "Whether an edited message is an event of its own.", true),
            "deletions": switch(
                "Deletions",
                "Whether a deleted message is an event of its own. It is not answered in Slack.",
                true
            ),
            "format": choice(
                "Form of answers",
                "markdown: what agents write becomes Slack's mrkdwn. plain: shown letter by letter. Neither pings anybody.",
                ["markdown", "plain"]
            ),
            "link_previews": switch("Previews", "Whether Slack shows previews of links in answers.", false),
            "assistant_status": {
                "title": "Status of assistants",
                "description": "Shown in direct messages with an app that is an assistant while a run is performed, after the app's name: `is thinking…`. None when absent.",
                "type": "string",
                "minLength": 1,
                "maxLength": 100
            },
            "command_answers": choice(
                "Answers to commands",
                "Who sees answers to slash commands: who asked (ephemeral), or everybody in the channel.",
                ["ephemeral", "in_channel"]
            )
        }
    })
}

fn switch(title: &str, description: &str, default: bool) -> Value {
    json!({"title": title, "description": description, "type": "boolean", "default": default})
}

/// The first of the values is the default.
fn choice(title: &str, description: &str, values: [&str; 2]) -> Value {
    json!({"title": title, "description": description, "enum": values, "default": values[0]})
}

fn ids(title: &str, description: &str) -> Value {
    json!({
        "title": title,
        "description": description,
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
        "maxItems": 1000,
        "default": []
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_shown_in_a_form() {
        let manifest: Value = serde_json::from_str(&manifest().to_json()).unwrap();
        for (name, setting) in manifest["settings"]["properties"].as_object().unwrap() {
            assert!(setting["title"].is_string() && setting["description"].is_string(), "{name}");
            assert!(setting["type"].is_string() || setting["enum"].is_array(), "{name}");
        }
    }

    #[test]
    fn the_token_goes_to_slack_and_the_signing_secret_nowhere() {
        let manifest: Value = serde_json::from_str(&manifest().to_json()).unwrap();
        assert_eq!(manifest["secrets"]["bot_token"]["sent_to"], json!(["api", "files"]));
        assert_eq!(manifest["secret_lists"]["team_bot_tokens"]["sent_to"], json!(["api", "files"]));
        assert_eq!(manifest["secrets"]["signing_secret"].get("sent_to"), None);
        assert_eq!(manifest["verification"][0]["slot"], "signing_secret");
    }
}
