//! Reply targets in a payload (contract section 7): handles, and structured forms that are turned into handles.

use std::collections::BTreeMap;

use kheish_guest::{Refusal, ReplyTarget, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::payload::Payload;

/// More targets than this multiply one event into too many deliveries.
const MAX_TARGETS: usize = 64;

/// A plugin and an address in its form. What was structured in the payload is a handle from here on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Value")]
pub(crate) struct Handle {
    address: String,
    plugin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    plugin: String,
    address: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Structured {
    Raw(Plain),
    Http(Http),
    Slack(Slack),
    Telegram(Telegram),
    External(External),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Http {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    url: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Slack {
    channel_id: String,
    connector: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Telegram {
    chat_id: i64,
    connector: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to_message_id: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct External {
    connector: String,
    route: Value,
}

impl TryFrom<Value> for Handle {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        if value.get("type").is_none() {
            return Plain::deserialize(value).map(Into::into);
        }
        Ok(match Structured::deserialize(value)? {
            Structured::Raw(plain) => plain.into(),
            Structured::Http(http) if http.headers.is_empty() => Self::new("http", http.url),
            Structured::Http(http) => Self::new("http", json::text(&http)),
            Structured::Slack(slack) => Self::new("slack", json::text(&slack)),
            Structured::Telegram(telegram) => Self::new("telegram", json::text(&telegram)),
            Structured::External(external) => Self::new("external", json::text(&external)),
        })
    }
}

impl From<Plain> for Handle {
    fn from(plain: Plain) -> Self {
        Self { plugin: plain.plugin, address: plain.address }
    }
}

impl Handle {
    fn new(plugin: &str, address: String) -> Self {
        Self { plugin: plugin.to_owned(), address }
    }
}

/// Whether the payload says where answers go.
pub(crate) fn is_given(payload: &Payload) -> bool {
    !payload.reply_targets.is_empty() || payload.reply_plugin.is_some() || payload.reply_address.is_some()
}

/// The payload's targets, each once, in the order in which they were first named.
pub(crate) fn targets(payload: &Payload) -> Result<Vec<ReplyTarget>, Refusal> {
    let mut handles = payload.reply_targets.clone();
    match (&payload.reply_plugin, &payload.reply_address) {
        (Some(plugin), Some(address)) => handles.push(Handle::new(plugin, address.clone())),
        (None, None) => {}
        _ => return Err(invalid("reply_plugin and reply_address belong together: send both, or neither.")),
    }
    if handles.len() > MAX_TARGETS {
        return Err(invalid(format!("The event has more than {MAX_TARGETS} reply targets: send fewer.")));
    }
    let mut targets: Vec<ReplyTarget> = Vec::with_capacity(handles.len());
    for Handle { plugin, address } in handles {
        if plugin.trim().is_empty() || address.trim().is_empty() {
            return Err(invalid("A reply target has a blank plugin or address: fill in both."));
        }
        if !targets.iter().any(|known| known.plugin == plugin && known.address == address) {
            targets.push(ReplyTarget { plugin, address });
        }
    }
    Ok(targets)
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::bad_request("invalid_reply_target", reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(targets: Value) -> Result<Vec<(String, String)>, String> {
        let body = json!({"reply_targets": targets}).to_string();
        let payload = json::object(body.as_bytes()).map_err(|refusal| refusal.reason)?;
        let targets = super::targets(&payload).map_err(|refusal| refusal.reason)?;
        Ok(targets.into_iter().map(|target| (target.plugin, target.address)).collect())
    }

    fn pair(plugin: &str, address: &str) -> (String, String) {
        (plugin.to_owned(), address.to_owned())
    }

    #[test]
    fn every_form_becomes_a_handle() {
        let targets = json!([
            {"plugin": "http", "address": "https://a.example"},
            {"type": "raw", "plugin": "daemon", "address": "s"},
            {"type": "http", "url": "https://b.example"},
            {"type": "http", "url": "https://c.example", "headers": {"x-a": "1"}},
            {"type": "slack", "connector": "s", "channel_id": "C1", "thread_ts": "1.2"},
            {"type": "telegram", "connector": "t", "chat_id": -5},
            {"type": "external", "connector": "e", "route": "r"},
        ]);
        let expected = [
            pair("http", "https://a.example"),
            pair("daemon", "s"),
            pair("http", "https://b.example"),
            pair("http", r#"{"headers":{"x-a":"1"},"url":"https://c.example"}"#),
            pair("slack", r#"{"channel_id":"C1","connector":"s","thread_ts":"1.2"}"#),
            pair("telegram", r#"{"chat_id":-5,"connector":"t"}"#),
            pair("external", r#"{"connector":"e","route":"r"}"#),
        ];
        assert_eq!(parsed(targets).unwrap(), expected);
    }

    #[test]
    fn the_first_of_equal_targets_stays() {
        let one = json!({"plugin": "http", "address": "https://a.example"});
        let same = json!({"type": "http", "url": "https://a.example"});
        let other = json!({"plugin": "http", "address": "https://b.example"});
        let expected = [pair("http", "https://a.example"), pair("http", "https://b.example")];
        assert_eq!(parsed(json!([one, other, same])).unwrap(), expected);
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in [
            json!({"plugin": "http"}),
            json!({"plugin": " ", "address": "a"}),
            json!({"type": "fax", "number": "1"}),
            json!({"type": "http", "url": "https://a.example", "allow_private_network": true}),
            json!("https://a.example"),
        ] {
            assert!(parsed(json!([target])).is_err(), "{target}");
        }
        assert!(parsed(json!(vec![json!({"plugin": "http", "address": "a"}); MAX_TARGETS + 1])).is_err());
    }

    #[test]
    fn a_pair_needs_both_halves() {
        let half = &Payload { reply_plugin: Some("http".to_owned()), ..Payload::default() };
        assert_eq!(super::targets(half).unwrap_err().code, "invalid_reply_target");
    }
}
