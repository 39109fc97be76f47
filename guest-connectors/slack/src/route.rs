//! Where an answer goes.

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Longest id of Slack's that is believed.
const MAX_ID: usize = 64;

/// A channel, or a thread in it. An answer to a command goes to who asked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The organisation, on Enterprise Grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) enterprise_id: Option<String>,
    /// The workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team_id: Option<String>,
    /// The channel, or a user for a direct message.
    pub(crate) channel_id: String,
    /// The first message of the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread_ts: Option<String>,
    /// Who typed the command that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    /// The sealed `response_url` of that command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<String>,
}

impl Route {
    /// Checks a route that somebody wrote, and gives it in its normal form.
    pub(crate) fn check(mut self, settings: &Settings) -> Result<Self, String> {
        if self.response.is_some() || self.user_id.is_some() {
            return Err(
                "response and user_id belong to answers to commands: give the channel_id of a user to write to one."
                    .to_owned(),
            );
        }
        for (name, value) in [("enterprise_id", &mut self.enterprise_id), ("team_id", &mut self.team_id)] {
            trim(value);
            if value.as_ref().is_some_and(|id| !is_id(id)) {
                return Err(format!(
                    "{name} is not an id of Slack's: expected capitals and digits, such as `T024BE7LD`."
                ));
            }
        }
        trim(&mut self.thread_ts);
        self.channel_id = self.channel_id.trim().to_owned();
        if !is_id(&self.channel_id) {
            return Err(
                "channel_id is not an id of Slack's: expected capitals and digits, such as `C024BE91L`; Slack shows \
                        it at the end of a channel's details."
                    .to_owned(),
            );
        }
        if self.thread_ts.as_ref().is_some_and(|ts| !is_ts(ts)) {
            return Err("thread_ts is not a timestamp of Slack's, such as `1503435956.000247`.".to_owned());
        }
        for (list, allowed, value) in [
            ("allowed_enterprise_ids", &settings.allowed_enterprise_ids, self.enterprise_id.as_ref()),
            ("allowed_team_ids", &settings.allowed_team_ids, self.team_id.as_ref()),
            ("allowed_channel_ids", &settings.allowed_channel_ids, Some(&self.channel_id)),
        ] {
            if let Some(value) = value.filter(|value| !allowed.is_empty() && !allowed.contains(value)) {
                return Err(format!("`{value}` is not among {list}."));
            }
        }
        Ok(self)
    }
}

fn trim(value: &mut Option<String>) {
    *value = value.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
}

/// Whether it looks like an id of Slack's.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether it looks like the timestamp that names a message.
pub(crate) fn is_ts(text: &str) -> bool {
    let digits =
        |text: &str, longest| (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, rest)| digits(seconds, 12) && digits(rest, 6))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(settings: Value, route: Value) -> Result<Value, String> {
        let route: Route = serde_json::from_value(route).map_err(|error| error.to_string())?;
        let route = route.check(&serde_json::from_value(settings).unwrap())?;
        Ok(serde_json::to_value(route).unwrap())
    }

    #[test]
    fn two_ways_to_write_one_place_are_one_route() {
        let plain = json!({"channel_id": "C1", "thread_ts": "1503435956.000247"});
        let spelt =
            json!({"channel_id": " C1 ", "team_id": "", "enterprise_id": null, "thread_ts": "1503435956.000247 "});
        assert_eq!(checked(json!({}), spelt), Ok(plain));
    }

    #[test]
    fn what_slack_would_not_understand_is_refused() {
        for route in [
            json!({"channel_id": "#general"}),
            json!({"channel_id": ""}),
            json!({"channel_id": "C1", "thread_ts": "yesterday"}),
            json!({"channel_id": "C1", "team_id": "acme"}),
            json!({"channel_id": "C1", "response": "x"}),
            json!({"channel_id": "C1", "chanel": "x"}),
            json!({"thread_ts": "1503435956.000247"}),
        ] {
            assert!(checked(json!({}), route.clone()).is_err(), "{route}");
        }
    }

    #[test]
    fn the_lists_hold_for_what_goes_out_too() {
        let settings = json!({"allowed_channel_ids": ["C1"], "allowed_team_ids": ["T1"]});
        assert!(checked(settings.clone(), json!({"channel_id": "C1"})).is_ok());
        assert!(checked(settings.clone(), json!({"channel_id": "C2"})).is_err());
        assert!(checked(settings, json!({"channel_id": "C1", "team_id": "T2"})).is_err());
    }
}
