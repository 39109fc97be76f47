//! The fields that every connector has, whatever its kind (contract sections 2.2 and 2.3).

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::definition::Broken;
use crate::model::{delivery::UnknownPolicy, ids::SessionId, target::ReplyTarget};

/// What the host itself reads of a connector.
#[derive(Clone, Debug, Default)]
pub(super) struct HostFields {
    /// Where all events go.
    pub(super) fixed_session: Option<SessionId>,
    /// Whether callers need not authenticate.
    pub(super) allow_unauthenticated_ingress: bool,
    /// Accepted events per second; the kind's own rate when absent.
    pub(super) ingress_events_per_second: Option<u32>,
    /// Where outputs go when an event names no target.
    pub(super) default_reply_targets: Vec<ReplyTarget>,
    /// Whether unknown sessions are made.
    pub(super) create_sessions: bool,
    /// What follows when nobody knows whether a part arrived; as the kind says when absent.
    pub(super) unknown_deliveries: Option<UnknownPolicy>,
}

/// What may become of unknown sessions. The reference's personas and scopes belong to an agent runtime; a connector that
/// relies on them is refused rather than run with fewer restrictions.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SessionPolicy {
    create_if_missing: bool,
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
        Self {
            fixed_session,
            unknown_deliveries: take(fields, "unknown_deliveries", broken),
            allow_unauthenticated_ingress: take(fields, "allow_unauthenticated_ingress", broken).unwrap_or_default(),
            ingress_events_per_second: rate,
            default_reply_targets: take(fields, "default_reply_targets", broken).unwrap_or_default(),
            create_sessions: take::<SessionPolicy>(fields, "session_policy", broken)
                .unwrap_or_default()
                .create_if_missing,
        }
    }
}

/// The reply targets of a connector, as far as they can be read.
pub(super) fn reply_targets(fields: &Map<String, Value>) -> Vec<ReplyTarget> {
    let written = fields.get("default_reply_targets").cloned().unwrap_or_default();
    serde_json::from_value(written).unwrap_or_default()
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
