//! The connector's own settings. The host keeps name, session, rate and reply target settings to itself.

use serde::Deserialize;

use crate::rules::key_problem;

/// The settings, with the defaults of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The actor of events that name none.
    pub(crate) actor_id: Option<String>,
    /// The operator insists on signatures.
    require_hmac_signature: bool,
    /// Events without an idempotency key are refused.
    pub(crate) require_idempotency_key: bool,
    /// Authenticated callers may choose where answers go.
    pub(crate) allow_payload_reply_targets: bool,
    /// Binding keys of events that name none.
    pub(crate) default_binding_keys: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            actor_id: None,
            require_hmac_signature: false,
            require_idempotency_key: true,
            allow_payload_reply_targets: false,
            default_binding_keys: Vec::new(),
        }
    }
}

impl Settings {
    /// One sentence for each rule that is broken.
    pub(crate) fn check(&self, configured: &[String]) -> Vec<String> {
        let mut broken = Vec::new();
        if self.require_hmac_signature && !configured.iter().any(|slot| slot == "hmac_secret") {
            broken.push("require_hmac_signature needs the secret hmac_secret: configure it.".to_owned());
        }
        if self.require_hmac_signature && !self.require_idempotency_key {
            broken.push(
                "require_hmac_signature needs require_idempotency_key = true: without keys a request can be replayed."
                    .to_owned(),
            );
        }
        if self.actor_id.as_ref().is_some_and(|actor| actor.trim().is_empty()) {
            broken.push("actor_id is blank: name an actor, or leave it out.".to_owned());
        }
        if let Some(problem) = self.default_binding_keys.iter().find_map(|key| key_problem(key)) {
            broken.push(format!("One of default_binding_keys {problem}."));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn broken(settings: Value, configured: &[&str]) -> Vec<String> {
        let configured: Vec<_> = configured.iter().map(|slot| (*slot).to_owned()).collect();
        serde_json::from_value::<Settings>(settings).unwrap().check(&configured)
    }

    #[test]
    fn nothing_is_wrong_with_the_defaults() {
        assert!(broken(json!({}), &[]).is_empty());
        assert!(broken(json!({"require_hmac_signature": true, "actor_id": "erp"}), &["hmac_secret"]).is_empty());
    }

    #[test]
    fn required_signatures_need_a_secret_and_keys() {
        let settings = json!({"require_hmac_signature": true, "require_idempotency_key": false});
        let broken = broken(settings, &["bearer_token"]);
        assert_eq!(broken.len(), 2);
        assert!(broken[0].contains("hmac_secret") && broken[1].contains("require_idempotency_key"));
    }

    #[test]
    fn blanks_are_refused() {
        assert_eq!(broken(json!({"actor_id": " ", "default_binding_keys": ["a", "\t"]}), &[]).len(), 2);
    }
}
