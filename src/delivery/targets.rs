//! Reply targets, checked when they are set: somebody delivers there, and the address is in that one's form.
//!
//! Plugin `http` sends to URLs and is built in. Any other plugin is a connector kind, and the address is JSON text: the
//! connector's name as `connector`, and beside it the route, in the form of the kind's plugin.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::{destinations::Destinations, http::HttpTarget};
use crate::{
    connectors::Fault,
    model::{ids::ConnectorId, target::ReplyTarget},
    nearest::suggestion,
    secrets::webhook,
};

/// Length of the address of a connector target, in bytes: it is stored with each run and each delivery.
const ADDRESS_BYTES: usize = 8 * 1024;

/// The member of an address that names the connector.
const CONNECTOR: &str = "connector";

/// Why a target was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is wrong; the sentence says what to change.
    #[error("{0}")]
    Invalid(String),
    /// Its plugin failed to say whether it is right.
    #[error("{0}")]
    Failed(String),
    /// Its plugin could not be asked now.
    #[error("{0}")]
    Busy(String),
}

/// Checks a target that an operator chose. It comes back as it is to be stored.
pub async fn check(target: &ReplyTarget, destinations: &dyn Destinations) -> Result<ReplyTarget, TargetError> {
    match target.plugin.as_str() {
        "http" => {
            check_length(target, destinations.address_bytes())?;
            let parsed = http(target).map_err(TargetError::Invalid)?;
            check_signing(&parsed, destinations).await?;
            Ok(target.clone())
        }
        _ => connector(target, destinations).await,
    }
}

/// Checks a target that a caller's payload chose: it may not grant itself the private network. It comes back as it is to be
/// stored.
pub async fn check_untrusted(
    target: &ReplyTarget,
    destinations: &dyn Destinations,
) -> Result<ReplyTarget, TargetError> {
    let granted = match http(target) {
        Ok(parsed) if target.plugin == "http" && parsed.allow_private_network() => Some("allow_private_network"),
        // Whoever chose both the secret and the receiver could have anything signed.
        Ok(parsed) if target.plugin == "http" && parsed.signing_secret().is_some() => Some("signing_secret_ref"),
        _ => None,
    };
    if let Some(field) = granted {
        let detail = format!("{field} is the operator's to give: put the target into default_reply_targets");
        return Err(TargetError::Invalid(detail));
    }
    check(target, destinations).await
}

/// Each target once, where it was first named. Two that were written differently can be one as they are stored.
pub fn distinct(targets: Vec<ReplyTarget>) -> Vec<ReplyTarget> {
    let mut seen = HashSet::new();
    targets.into_iter().filter(|target| seen.insert(target.clone())).collect()
}

/// The connector that a target names, whether or not there is one.
pub fn refers_to(target: &ReplyTarget) -> Option<ConnectorId> {
    split(target).ok().map(|(id, _)| id)
}

/// Whom a target's lane leads to, for the fair share of workers and for pauses: `kind/name` of the connector, or the origin of
/// the URL (scheme, host and port), so that all paths of one server are one owner.
pub fn owner(target: &ReplyTarget) -> String {
    let origin = || HttpTarget::parse(&target.address).map_or_else(|_| "http".to_owned(), |http| http.origin());
    refers_to(target).map_or_else(origin, |id| id.to_string())
}

/// Whether such an owner is a connector.
pub fn is_connector(owner: &str) -> bool {
    owner.contains('/') && !owner.contains("://")
}

/// The target that a connector's own route makes. The error says what is wrong with the route.
pub fn of_route(id: &ConnectorId, route: &str) -> Result<ReplyTarget, String> {
    let mut members: BTreeMap<String, Value> =
        serde_json::from_str(route).map_err(|error| format!("the route is not a JSON object: {error}"))?;
    if members.insert(CONNECTOR.to_owned(), id.name.clone().into()).is_some() {
        return Err(format!("the route has a member `{CONNECTOR}`, which is the host's"));
    }
    // Sorted, so that one route has one address, and with it one lane.
    let address = Value::from_iter(members).to_string();
    if address.len() > ADDRESS_BYTES {
        return Err(format!("the address has {} bytes, the limit is {ADDRESS_BYTES}", address.len()));
    }
    Ok(ReplyTarget { plugin: id.kind.clone(), address })
}

/// The secret of the store that a target is signed with, by its name.
pub fn signed_with(target: &ReplyTarget) -> Option<String> {
    if target.plugin != "http" {
        return None;
    }
    http(target).ok()?.signing_secret().map(str::to_owned)
}

/// The connector that a target names, and the route to hand to its plugin, as JSON text.
pub fn split(target: &ReplyTarget) -> Result<(ConnectorId, String), String> {
    let form = || {
        let kind = &target.plugin;
        format!("the address of a `{kind}` target is JSON text: {{\"{CONNECTOR}\": \"name\"}} with the route beside it")
    };
    if target.plugin == "http" {
        return Err("plugin `http` sends to URLs; its connectors take events and deliver nothing".to_owned());
    }
    if target.address.len() > ADDRESS_BYTES {
        return Err(format!("the address has {} bytes, the limit is {ADDRESS_BYTES}", target.address.len()));
    }
    let mut route: Map<String, Value> = serde_json::from_str(&target.address).map_err(|_| form())?;
    let Some(Value::String(name)) = route.remove(CONNECTOR) else { return Err(form()) };
    Ok((ConnectorId { kind: target.plugin.clone(), name }, Value::Object(route).to_string()))
}

fn http(target: &ReplyTarget) -> Result<HttpTarget, String> {
    HttpTarget::parse(&target.address).map_err(|reason| {
        let names_connector = serde_json::from_str::<Map<String, Value>>(&target.address)
            .is_ok_and(|address| address.contains_key(CONNECTOR));
        if names_connector {
            "plugin `http` sends to URLs; its connectors take events and deliver nothing".to_owned()
        } else {
            reason
        }
    })
}

/// The address itself may be anything, and is not repeated.
fn check_length(target: &ReplyTarget, most: usize) -> Result<(), TargetError> {
    let length = target.address.len();
    if length <= most {
        return Ok(());
    }
    let detail = format!("the address has {length} bytes, the limit is {most} (delivery.http.address_bytes)");
    Err(TargetError::Invalid(detail))
}

async fn check_signing(target: &HttpTarget, destinations: &dyn Destinations) -> Result<(), TargetError> {
    let Some(name) = target.signing_secret() else { return Ok(()) };
    match destinations.secret(name).await {
        Ok(Some(secret)) => webhook::check(&secret)
            .map_err(|error| TargetError::Invalid(format!("secret `{name}` cannot sign: {error}"))),
        Ok(None) => Err(TargetError::Invalid(format!(
            "there is no secret `{name}` to sign with: store it first (POST /v1/runtime/secrets)"
        ))),
        Err(error) => {
            tracing::warn!(secret = name, %error, "secret `{name}` of a reply target could not be read: {error}");
            Err(TargetError::Busy(format!("secret `{name}` could not be read now: try again")))
        }
    }
}

async fn connector(target: &ReplyTarget, destinations: &dyn Destinations) -> Result<ReplyTarget, TargetError> {
    let invalid = |sentence: String| TargetError::Invalid(sentence);
    let known = destinations.connectors();
    let mut kinds = destinations.kinds();
    kinds.extend(known.iter().map(|id| id.kind.clone()));
    if !kinds.contains(&target.plugin) {
        let near = suggestion(&target.plugin, kinds.iter().map(String::as_str).chain(["http"]));
        return Err(invalid(format!("no plugin named `{}` delivers here{near}", target.plugin)));
    }
    let (id, route) = split(target).map_err(invalid)?;
    let Some((plugin, context)) = destinations.find(&id) else {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let near = suggestion(&id.to_string(), names.iter().map(String::as_str));
        return Err(invalid(format!("there is no connector `{id}`{near}")));
    };
    if !plugin.delivers() {
        return Err(invalid(format!("connectors of kind `{}` take events and deliver nothing", id.kind)));
    }
    match plugin.check_route(context, &route).await {
        Ok(Ok(normalised)) => of_route(&id, &normalised).map_err(|reason| unchecked(&id, &Fault::Contract(reason))),
        Ok(Err(reason)) => Err(invalid(format!("connector `{id}` refuses the route: {reason}"))),
        Err(fault) => Err(unchecked(&id, &fault)),
    }
}

/// The plugin gave no answer. Who set the target hears a class, the log hears the reason.
fn unchecked(id: &ConnectorId, fault: &Fault) -> TargetError {
    tracing::warn!(connector = %id, error = %fault, "{id} could not check a reply route: {fault}");
    match fault {
        Fault::Overloaded | Fault::Host(_) => {
            TargetError::Busy(format!("connector `{id}` could not check the route now: try again"))
        }
        Fault::Deadline(_) | Fault::Memory { .. } | Fault::Trap(_) | Fault::Contract(_) | Fault::Halfway(_) => {
            TargetError::Failed(format!("connector `{id}` failed to check the route"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(plugin: &str, address: &str) -> ReplyTarget {
        ReplyTarget { plugin: plugin.to_owned(), address: address.to_owned() }
    }

    fn id(kind: &str, name: &str) -> ConnectorId {
        ConnectorId { kind: kind.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn only_targets_of_connectors_refer_to_one() {
        assert_eq!(refers_to(&target("chat", r#"{"room":1,"connector":"main"}"#)), Some(id("chat", "main")));
        for (plugin, address) in [
            ("http", r#"{"connector":"orders"}"#),
            ("http", "https://example.com/"),
            ("chat", "main"),
            ("chat", r#"["connector"]"#),
            ("chat", r#"{"room":1}"#),
            ("chat", r#"{"connector":1}"#),
        ] {
            assert_eq!(refers_to(&target(plugin, address)), None, "{plugin} {address}");
        }
    }

    #[test]
    fn all_paths_of_a_server_are_one_owner() {
        for (plugin, address, expected) in [
            ("http", "https://Hooks.example.com/a?b", "https://hooks.example.com"),
            ("http", r#"{"url":"https://hooks.example.com:443/c"}"#, "https://hooks.example.com"),
            ("http", "http://10.0.0.7:8080/", "http://10.0.0.7:8080"),
            ("http", "nonsense", "http"),
            ("chat", r#"{"room":1,"connector":"main"}"#, "chat/main"),
        ] {
            assert_eq!(owner(&target(plugin, address)), expected, "{address}");
            assert_eq!(is_connector(expected), plugin == "chat", "{address}");
        }
    }

    #[test]
    fn a_route_and_its_target_are_two_forms_of_one() {
        let made = of_route(&id("chat", "main"), r#"{"room":7,"after":null}"#).unwrap();
        assert_eq!(made, target("chat", r#"{"after":null,"connector":"main","room":7}"#));
        assert_eq!(made, of_route(&id("chat", "main"), r#" {"after" : null, "room" : 7} "#).unwrap());
        let (connector, route) = split(&made).unwrap();
        let route: Value = serde_json::from_str(&route).unwrap();
        assert_eq!((connector, route), (id("chat", "main"), serde_json::json!({"room": 7, "after": null})));
    }

    #[test]
    fn a_route_is_an_object_of_its_own_and_bounded() {
        let long = format!(r#"{{"room":"{}"}}"#, "x".repeat(ADDRESS_BYTES));
        for route in ["", "7", "[]", r#"{"connector":"other"}"#, long.as_str()] {
            assert!(of_route(&id("chat", "main"), route).is_err(), "{route}");
        }
    }
}
