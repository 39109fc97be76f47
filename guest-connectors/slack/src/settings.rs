//! The connector's own settings. The host keeps name, session, rate and reply target settings to itself.

use kheish_guest::{Failure, FailureKind};
use serde::Deserialize;

use crate::{
    manifest::{BOT_TOKEN, TEAM_BOT_TOKENS},
    route::is_id,
};

/// The wait for a workspace whose token Slack refuses, in milliseconds: somebody has to store another one.
const REFUSED_WAIT_MS: u64 = 60_000;

/// The settings, with the defaults of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Where the Web API is, without a slash at its end once [`Self::api`] gave it out.
    api_base_url: String,
    /// Workspaces that have a token of their own.
    team_bot_tokens: Vec<TeamToken>,
    /// Apps that are listened to; all when empty, as with the lists below.
    pub(crate) allowed_api_app_ids: Vec<String>,
    /// Organisations.
    pub(crate) allowed_enterprise_ids: Vec<String>,
    /// Workspaces.
    pub(crate) allowed_team_ids: Vec<String>,
    /// Channels.
    pub(crate) allowed_channel_ids: Vec<String>,
    /// Binding keys of every event.
    pub(crate) additional_binding_keys: Vec<String>,
    /// Edits are events.
    pub(crate) edits: bool,
    /// Deletions are events.
    pub(crate) deletions: bool,
    /// How answers are written.
    pub(crate) format: TextFormat,
    /// Links get previews.
    pub(crate) link_previews: bool,
    /// Who sees answers to commands.
    pub(crate) command_answers: CommandAnswers,
    /// What stands beside the app's name while an answer is on its way, in direct messages with an assistant.
    pub(crate) assistant_status: Option<String>,
}

/// A workspace with a token of its own; the token itself stays with the host.
#[derive(Clone, Debug, Deserialize)]
struct TeamToken {
    team_id: String,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TextFormat {
    /// Markdown becomes mrkdwn.
    #[default]
    Markdown,
    /// Letter by letter.
    Plain,
}

/// Who sees answers to commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommandAnswers {
    /// Who asked.
    #[default]
    Ephemeral,
    /// Everybody in the channel.
    InChannel,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_base_url: "https://slack.com/api".to_owned(),
            team_bot_tokens: Vec::new(),
            allowed_api_app_ids: Vec::new(),
            allowed_enterprise_ids: Vec::new(),
            allowed_team_ids: Vec::new(),
            allowed_channel_ids: Vec::new(),
            additional_binding_keys: Vec::new(),
            edits: true,
            deletions: true,
            format: TextFormat::default(),
            link_previews: false,
            command_answers: CommandAnswers::default(),
            assistant_status: None,
        }
    }
}

impl Settings {
    /// The address of a method of the Web API.
    pub(crate) fn api(&self, method: &str) -> String {
        format!("{}/{method}", self.api_base_url.trim_end_matches('/'))
    }

    /// The slot of the token that speaks in a workspace.
    pub(crate) fn slot(&self, team: Option<&str>) -> String {
        match self.team_bot_tokens.iter().find(|token| Some(token.team_id.as_str()) == team) {
            Some(token) => format!("{TEAM_BOT_TOKENS}.{}.{BOT_TOKEN}", token.team_id),
            None => BOT_TOKEN.to_owned(),
        }
    }

    /// What follows from a failure in a workspace. Where each has its own token, one that Slack refuses locks out its workspace
    /// and not the connector: what goes there waits, and the others go on.
    pub(crate) fn judge(&self, team: Option<&str>, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Unauthorized || self.team_bot_tokens.is_empty() {
            return failure;
        }
        let reason = format!("{} This is the secret `{}`; other workspaces go on.", failure.reason, self.slot(team));
        Failure::retryable(failure.code, reason).after_ms(failure.retry_after_ms.unwrap_or(REFUSED_WAIT_MS))
    }

    /// One sentence for each rule that is broken.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let lists = [
            ("allowed_api_app_ids", &self.allowed_api_app_ids),
            ("allowed_enterprise_ids", &self.allowed_enterprise_ids),
            ("allowed_team_ids", &self.allowed_team_ids),
            ("allowed_channel_ids", &self.allowed_channel_ids),
        ];
        for (name, list) in lists {
            if let Some(odd) = list.iter().find(|id| !is_id(id)) {
                broken.push(format!("{name} has `{odd}`: expected ids of capitals and digits, such as `C024BE91L`."));
            }
        }
        if let Some(odd) = self.team_bot_tokens.iter().find(|token| !is_id(&token.team_id)) {
            let team = &odd.team_id;
            broken
                .push(format!("{TEAM_BOT_TOKENS} has `{team}`: expected the id of a workspace, such as `T024BE7LD`."));
        }
        if self.additional_binding_keys.iter().any(|key| key.trim().is_empty()) {
            broken.push("one of additional_binding_keys is blank: leave it out.".to_owned());
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn broken(settings: Value) -> Vec<String> {
        serde_json::from_value::<Settings>(settings).unwrap().check()
    }

    #[test]
    fn a_workspace_with_a_token_speaks_with_it() {
        let settings = json!({"team_bot_tokens": [{"team_id": "T1"}, {"team_id": "T2"}]});
        let settings: Settings = serde_json::from_value(settings).unwrap();
        assert_eq!(settings.slot(Some("T2")), "team_bot_tokens.T2.bot_token");
        assert_eq!([settings.slot(Some("T3")), settings.slot(None)], ["bot_token", "bot_token"]);
    }

    #[test]
    fn a_refused_token_locks_out_its_workspace_and_no_other() {
        let refused = || Failure::unauthorized("invalid_auth", "Slack answered so.");
        assert_eq!(Settings::default().judge(Some("T1"), refused()).kind, FailureKind::Unauthorized);
        let settings: Settings = serde_json::from_value(json!({"team_bot_tokens": [{"team_id": "T1"}]})).unwrap();
        for (team, slot) in [("T1", "team_bot_tokens.T1.bot_token"), ("T2", "`bot_token`")] {
            let failure = settings.judge(Some(team), refused());
            assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Retryable, Some(REFUSED_WAIT_MS)));
            assert!(failure.code == "invalid_auth" && failure.reason.contains(slot), "{}", failure.reason);
        }
        assert_eq!(settings.judge(Some("T1"), Failure::terminal("gone", "Gone.")).kind, FailureKind::Terminal);
    }

    #[test]
    fn names_in_place_of_ids_are_refused() {
        let settings = json!({"allowed_channel_ids": ["#general"], "allowed_team_ids": [" T1"],
            "additional_binding_keys": [" "], "team_bot_tokens": [{"team_id": "acme"}]});
        assert_eq!(broken(settings).len(), 4);
        assert!(broken(json!({"allowed_channel_ids": ["C024BE91L", "D1"]})).is_empty());
    }

    #[test]
    fn methods_stand_below_the_base() {
        let at =
            |base: &str| serde_json::from_value::<Settings>(json!({"api_base_url": base})).unwrap().api("auth.test");
        assert_eq!(at("https://slack.com/api"), "https://slack.com/api/auth.test");
        assert_eq!(at("http://127.0.0.1:9/"), "http://127.0.0.1:9/auth.test");
        assert_eq!(Settings::default().api("auth.test"), "https://slack.com/api/auth.test");
    }
}
