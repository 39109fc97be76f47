//! The fields that every connector has, whatever its kind (contract sections 2.2 and 2.3).

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::definition::Broken;
use crate::model::{delivery::UnknownPolicy, ids::SessionId, target::ReplyTarget};

/// The field of targets for events that came without a route.
pub(super) const DEFAULT: &str = "default_reply_targets";

/// The field of targets for events that came with one.
pub(super) const ADDITIONAL: &str = "additional_reply_targets";

/// What the host itself reads of a connector.
#[derive(Clone, Debug, Default)]
pub(super) struct HostFields {
    /// Where all events go.
    pub(super) fixed_session: Option<SessionId>,
    /// Whether callers need not authenticate.
    pub(super) allow_unauthenticated_ingress: bool,
    /// Who performs the runs of sessions that its events make; the default one when absent.
    pub(super) executor: Option<String>,
    /// Accepted events per second; the kind's own rate when absent.
    pub(super) ingress_events_per_second: Option<u32>,
    /// Where outputs go when an event names no target.
    pub(super) default_reply_targets: Vec<ReplyTarget>,
    /// Whether an event that came with a route is answered along it; yes when absent.
    pub(super) include_self_output: Option<bool>,
    /// Where outputs go beside that route.
    pub(super) additional_reply_targets: Vec<ReplyTarget>,
    /// Whether unknown sessions are made.
    pub(super) create_sessions: bool,
    /// What follows when nobody knows whether a part arrived; as the kind says when absent.
    pub(super) unknown_deliveries: Option<UnknownPolicy>,
    /// Whether requests may reach private addresses, and plain http, where a setting says so.
    pub(super) allow_private_network: bool,
}

/// What may become of unknown sessions.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SessionPolicy {
    create_if_missing: bool,
    persona_id: Option<Value>,
    capability_scope: Option<Value>,
    credential_scope: Option<Value>,
}

impl SessionPolicy {
    /// Personas and scopes of the reference belong to an agent runtime: a connector that relies on them is refused rather than
    /// run with fewer restrictions. One that only names them restricts nothing.
    fn check(&self) -> Option<Broken> {
        let members = [
            ("persona_id", &self.persona_id),
            ("capability_scope", &self.capability_scope),
            ("credential_scope", &self.credential_scope),
        ];
        let restricts = |value: &Value| value.as_object().is_none_or(|scope| !scope.is_empty());
        let (member, _) = members.into_iter().find(|(_, value)| value.as_ref().is_some_and(restricts))?;
        let detail = format!(
            "`{member}` is for the agent runtime that performs the runs, and this host has none: take it out, and restrict \
             the executor"
        );
        Some(Broken::at(format!("/session_policy/{member}"), detail))
    }
}

impl HostFields {
    /// Takes them out of what was written.
    pub(super) fn take(fields: &mut Map<String, Value>, broken: &mut Vec<Broken>) -> Self {
        let rate = take(fields, "ingress_events_per_second", broken);
        if rate == Some(0) {
            broken.push(Broken::field("ingress_events_per_second", "expected a number above 0"));
        }
        let session = take::<String>(fields, "fixed_session_id", broken).map(|id| SessionId::parse(&id));
        let fixed_session = session.transpose().unwrap_or_else(|error| {
            broken.push(Broken::field("fixed_session_id", error.to_string()));
            None
        });
        let policy = take::<SessionPolicy>(fields, "session_policy", broken).unwrap_or_default();
        broken.extend(policy.check());
        Self {
            fixed_session,
            executor: take(fields, "executor", broken),
            unknown_deliveries: take(fields, "unknown_deliveries", broken),
            allow_private_network: take(fields, "allow_private_network", broken).unwrap_or_default(),
            allow_unauthenticated_ingress: take(fields, "allow_unauthenticated_ingress", broken).unwrap_or_default(),
            ingress_events_per_second: rate,
            default_reply_targets: take(fields, DEFAULT, broken).unwrap_or_default(),
            include_self_output: take(fields, "include_self_output", broken),
            additional_reply_targets: take(fields, ADDITIONAL, broken).unwrap_or_default(),
            create_sessions: policy.create_if_missing,
        }
    }

    /// What is wrong with them where the kind delivers nothing: its events come without a route.
    pub(super) fn check_sending(&self, kind: &str, delivers: bool) -> Vec<Broken> {
        let refused = |name: &str| {
            let detail = format!("connectors of kind `{kind}` take events and deliver nothing: use `{DEFAULT}`");
            Broken::field(name, detail)
        };
        let wanted = [
            ("include_self_output", self.include_self_output == Some(true)),
            (ADDITIONAL, !self.additional_reply_targets.is_empty()),
        ];
        wanted.into_iter().filter(|(_, set)| *set && !delivers).map(|(name, _)| refused(name)).collect()
    }
}

/// The reply targets of a connector with their JSON pointers, as far as they can be read.
pub(super) fn reply_targets(fields: &Map<String, Value>) -> Vec<(String, ReplyTarget)> {
    let mut found = Vec::new();
    for name in [DEFAULT, ADDITIONAL] {
        let written = fields.get(name).cloned().unwrap_or_default();
        let list: Vec<ReplyTarget> = serde_json::from_value(written).unwrap_or_default();
        found.extend(list.into_iter().enumerate().map(|(index, target)| (format!("/{name}/{index}"), target)));
    }
    found
}

fn take<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str, broken: &mut Vec<Broken>) -> Option<T> {
    match serde_path_to_error::deserialize(fields.remove(name)?) {
        Ok(value) => Some(value),
        Err(error) => {
            let mut rule = Broken::field(name, error.inner().to_string());
            for segment in error.path().iter() {
                match segment {
                    serde_path_to_error::Segment::Seq { index } => rule.pointer.push_str(&format!("/{index}")),
                    serde_path_to_error::Segment::Map { key } => rule.pointer.push_str(&format!("/{key}")),
                    _ => {}
                }
            }
            broken.push(rule);
            None
        }
    }
}
