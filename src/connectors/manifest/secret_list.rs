//! Lists of secrets: how a kind declares one, and what the slots of its entries are called. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HOST_FIELDS, Manifest};

/// Secrets that are told apart by a key. The settings that a plugin sees hold the keys alone; the secret of an entry is in the
/// slot `{list}.{key}.{secret}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretList {
    /// What they are, for people.
    pub description: String,
    /// The member of an entry that tells it from the others.
    pub key: String,
    /// The member of an entry that holds its secret.
    pub secret: String,
    /// Destinations that they may be sent to, of the manifest's `egress`; they never leave the host otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_to: Vec<String>,
}

impl SecretList {
    /// The spellings of an entry's secret in a file.
    pub fn spellings(&self) -> [String; 3] {
        ["", "_env", "_secret_ref"].map(|suffix| format!("{}{suffix}", self.secret))
    }

    /// The slot of the entry with this key, where the list is called `name`.
    pub fn slot(&self, name: &str, key: &str) -> String {
        format!("{name}.{key}.{}", self.secret)
    }

    /// The slots of a connector's entries: `name` is the list's, `settings` are those that the plugin sees.
    pub fn slots(&self, name: &str, settings: &Value) -> Vec<String> {
        let entries = settings.get(name).and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| Some(self.slot(name, entry.get(&self.key)?.as_str()?))).collect()
    }
}

/// What is wrong with the lists that a kind declares, and with what its deliveries need.
pub(super) fn broken_rules(manifest: &Manifest, is_name: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, list) in &manifest.secret_lists {
        let mut complain = |sentence: &str| broken.push(format!("secret list `{name}`: {sentence}"));
        if !is_name(name) || HOST_FIELDS.contains(&name.as_str()) || manifest.secrets.contains_key(name) {
            complain("expected [a-z][a-z0-9_]{0,63}, and none of the host's own fields or of the secret slots");
        }
        if !is_name(&list.key) || !is_name(&list.secret) || list.spellings().contains(&list.key) {
            complain("key and secret are two different names of [a-z][a-z0-9_]{0,63}");
        }
        if list.sent_to.iter().any(|destination| !manifest.egress.contains_key(destination)) {
            complain("it is sent to a place which egress does not name");
        }
    }
    let known = |slot: &String| manifest.secrets.contains_key(slot) || manifest.secret_lists.contains_key(slot);
    let unknown = manifest.delivery.needs.iter().filter(|slot| !known(slot));
    broken.extend(unknown.map(|slot| format!("delivery needs `{slot}`, which is neither a secret slot nor a list")));
    broken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_entry_has_a_slot_of_its_own() {
        let list = json!({ "description": "d", "key": "team_id", "secret": "bot_token" });
        let list: SecretList = serde_json::from_value(list).unwrap();
        let settings = json!({ "tokens": [{ "team_id": "T1" }, { "team_id": "T2" }, { "team": "T3" }] });
        assert_eq!(list.slots("tokens", &settings), ["tokens.T1.bot_token", "tokens.T2.bot_token"]);
        assert!(list.slots("other", &settings).is_empty());
    }
}
