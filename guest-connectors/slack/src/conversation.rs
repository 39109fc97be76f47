//! Which conversation an event belongs to, and what it is called there.

use kheish_guest::SessionKey;

use crate::settings::Settings;

/// Longest session id that the contract allows, in bytes.
const MAX_SESSION_ID: usize = 256;

/// A place in Slack: organisation, workspace, channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The organisation, on Enterprise Grid.
    pub(crate) enterprise: Option<String>,
    /// The workspace.
    pub(crate) team: Option<String>,
    /// The channel; for what happens in none, the user.
    pub(crate) channel: String,
}

impl Place {
    /// The part of Slack that channels and messages are named in.
    pub(crate) fn scope(&self) -> String {
        match (&self.enterprise, &self.team) {
            (Some(enterprise), Some(team)) => format!("enterprise:{enterprise}:team:{team}"),
            (Some(enterprise), None) => format!("enterprise:{enterprise}"),
            (None, Some(team)) => format!("team:{team}"),
            (None, None) => "workspace".to_owned(),
        }
    }

    /// The key of the message of this timestamp. A mention in a channel that the app reads anyway comes as two events: they are
    /// one message, and so one key. Edits and deletions find it by the timestamp that they name.
    pub(crate) fn message(&self, ts: &str) -> String {
        format!("{}:{}:{ts}", self.scope(), self.channel)
    }

    /// The conversation's key: the place, and the thread or whatever stands for one.
    pub(crate) fn conversation(&self, connector: &str, root: &str) -> String {
        let enterprise = self.enterprise.as_ref().map(|id| format!(":enterprise:{id}")).unwrap_or_default();
        let team = self.team.as_ref().map(|id| format!(":team:{id}")).unwrap_or_default();
        format!("slack:{connector}{enterprise}{team}:{}:{root}", self.channel)
    }
}

/// The session of a conversation, and the keys that are bound to it. Where the operator binds all conversations together, the
/// session is the one that the shared keys lead to.
pub(crate) fn session(settings: &Settings, conversation: String) -> (SessionKey, Vec<String>) {
    let mut keys = vec![conversation.clone()];
    if settings.additional_binding_keys.is_empty() && conversation.len() <= MAX_SESSION_ID {
        return (SessionKey::SessionId(conversation), keys);
    }
    keys.extend(settings.additional_binding_keys.iter().cloned());
    (SessionKey::Thread(vec![conversation]), keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(enterprise: Option<&str>, team: Option<&str>) -> Place {
        Place { enterprise: enterprise.map(str::to_owned), team: team.map(str::to_owned), channel: "C1".to_owned() }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let both = place(Some("E1"), Some("T1"));
        assert_eq!(both.conversation("support", "1.2"), "slack:support:enterprise:E1:team:T1:C1:1.2");
        assert_eq!(both.message("1.2"), "enterprise:E1:team:T1:C1:1.2");
        assert_eq!(place(None, Some("T1")).conversation("support", "1.2"), "slack:support:team:T1:C1:1.2");
        assert_eq!(place(Some("E1"), None).scope(), "enterprise:E1");
        assert_eq!(place(None, None).message("1.2"), "workspace:C1:1.2");
    }

    #[test]
    fn shared_keys_lead_to_a_shared_session() {
        let (key, keys) = session(&Settings::default(), "slack:s:C1:1".to_owned());
        assert!(matches!(key, SessionKey::SessionId(id) if id == "slack:s:C1:1"));
        assert_eq!(keys, ["slack:s:C1:1"]);
        let shared: Settings = serde_json::from_value(json!({"additional_binding_keys": ["desk"]})).unwrap();
        let (key, keys) = session(&shared, "slack:s:C1:1".to_owned());
        assert!(matches!(key, SessionKey::Thread(path) if path == ["slack:s:C1:1"]));
        assert_eq!(keys, ["slack:s:C1:1", "desk"]);
        assert!(matches!(session(&Settings::default(), "x".repeat(257)).0, SessionKey::Thread(_)));
    }
}
