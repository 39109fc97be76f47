//! The rules of contract section 3.2 on everything but the content, one function each.

use kheish_guest::{Refusal, SessionKey};
use serde_json::Value;

use crate::{
    payload::{Attachment, InputItem, Payload},
    reply,
    settings::Settings,
};

/// The longest idempotency key or binding key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 512;
/// The most binding keys of one event.
pub(crate) const MAX_BINDING_KEYS: usize = 64;
const MAX_ACTOR_BYTES: usize = 1024;
const MAX_SESSION_ID_BYTES: usize = 256;
const MAX_METADATA_BYTES: usize = 64 * 1024;

/// What the host adds to the metadata of a run.
const RESERVED_METADATA: [&str; 7] = [
    "connector_ingress_key",
    "http_ingress_key",
    "http_ingress_key_sha256",
    "http_ingress_fingerprint",
    "event_occurred_at_ms",
    "event_intent",
    "event_relation",
];

/// A caller whom nobody verified chooses neither a conversation nor a file nor where answers go.
pub(crate) fn open_caller(payload: &Payload) -> Result<(), Refusal> {
    let refuse = |code: &str, field: &str| {
        let reason =
            format!("The connector does not authenticate its callers, so {field} is not allowed: leave it out.");
        Err(Refusal::bad_request(code, reason))
    };
    if payload.session_id.is_some() {
        return refuse("session_id_not_allowed", "session_id");
    }
    if !payload.binding_keys.is_empty() {
        return refuse("binding_keys_not_allowed", "binding_keys");
    }
    let held = payload.input_items.iter().any(|item| matches!(item, InputItem::AssetReference { .. }))
        || payload.attachments.iter().any(|file| matches!(file, Attachment::AssetReference { .. }));
    if held {
        return refuse("asset_reference_not_allowed", "asset_reference");
    }
    if reply::is_given(payload) {
        return refuse("reply_targets_not_allowed", "a reply target");
    }
    Ok(())
}

/// Where answers go is the operator's to say, unless the operator lets callers say it.
pub(crate) fn reply_override(payload: &Payload, settings: &Settings) -> Result<(), Refusal> {
    if settings.allow_payload_reply_targets || !reply::is_given(payload) {
        return Ok(());
    }
    let reason = "The connector does not let callers choose reply targets: leave out reply_targets, reply_plugin and \
                  reply_address, or have allow_payload_reply_targets set.";
    Err(Refusal::bad_request("reply_targets_not_allowed", reason))
}

/// The metadata as the text of an object.
pub(crate) fn metadata(payload: &Payload) -> Result<String, Refusal> {
    let text = match &payload.metadata {
        None => "{}".to_owned(),
        Some(Value::Object(object)) => {
            if let Some(key) = RESERVED_METADATA.iter().find(|key| object.contains_key(**key)) {
                let reason = format!("The host adds `{key}` to the metadata itself: rename that key.");
                return Err(Refusal::bad_request("reserved_metadata", reason));
            }
            kheish_guest::json::text(object)
        }
        Some(other) => format!("{{\"payload\":{other}}}"),
    };
    if text.len() > MAX_METADATA_BYTES {
        let reason = format!("The metadata takes more than {MAX_METADATA_BYTES} bytes: send less.");
        return Err(Refusal::bad_request("metadata_too_large", reason));
    }
    Ok(text)
}

/// The session that the caller named, if any.
pub(crate) fn session(payload: &Payload) -> Result<SessionKey, Refusal> {
    let Some(id) = payload.session_id.as_deref() else { return Ok(SessionKey::Unspecified) };
    let sized = (1..=MAX_SESSION_ID_BYTES).contains(&id.len());
    if sized && !id.chars().any(char::is_control) && id != "." && id != ".." {
        return Ok(SessionKey::SessionId(id.to_owned()));
    }
    let reason = format!(
        "session_id must have 1 to {MAX_SESSION_ID_BYTES} bytes, no control characters, and not be `.` or `..`."
    );
    Err(Refusal::bad_request("invalid_session_id", reason))
}

/// The payload's binding keys, or the connector's own.
pub(crate) fn binding_keys(payload: &Payload, settings: &Settings) -> Result<Vec<String>, Refusal> {
    if payload.binding_keys.is_empty() {
        return Ok(settings.default_binding_keys.clone());
    }
    let refuse = |reason: String| Err(Refusal::bad_request("invalid_binding_keys", reason));
    if payload.binding_keys.len() > MAX_BINDING_KEYS {
        return refuse(format!("The event has more than {MAX_BINDING_KEYS} binding_keys: send fewer."));
    }
    if let Some(problem) = payload.binding_keys.iter().find_map(|key| key_problem(key)) {
        return refuse(format!("One of binding_keys {problem}."));
    }
    Ok(payload.binding_keys.clone())
}

/// What is wrong with a binding key.
pub(crate) fn key_problem(key: &str) -> Option<String> {
    if key.trim().is_empty() {
        return Some("is blank: name something, or leave it out".to_owned());
    }
    (key.len() > MAX_KEY_BYTES).then(|| format!("is longer than {MAX_KEY_BYTES} bytes: send a shorter one"))
}

/// The idempotency key without the blanks around it.
pub(crate) fn idempotency_key(payload: &Payload, settings: &Settings) -> Result<Option<String>, Refusal> {
    let key = payload.idempotency_key.as_deref().map(str::trim).filter(|key| !key.is_empty());
    match key {
        None if settings.require_idempotency_key => {
            let reason =
                "The event has no idempotency_key: send one that is the same for every attempt at the same event.";
            Err(Refusal::bad_request("missing_idempotency_key", reason))
        }
        Some(key) if key.len() > MAX_KEY_BYTES => {
            let reason = format!("The idempotency_key is longer than {MAX_KEY_BYTES} bytes: send a shorter one.");
            Err(Refusal::bad_request("invalid_idempotency_key", reason))
        }
        key => Ok(key.map(str::to_owned)),
    }
}

/// Payload, then settings, then a fixed name. A blank actor is nobody.
pub(crate) fn actor(payload: &Payload, settings: &Settings) -> Result<String, Refusal> {
    let named = payload.actor_id.as_deref().filter(|actor| !actor.trim().is_empty());
    if named.is_some_and(|actor| actor.len() > MAX_ACTOR_BYTES) {
        let reason = format!("The actor_id takes more than {MAX_ACTOR_BYTES} bytes: send a shorter one.");
        return Err(Refusal::bad_request("invalid_actor_id", reason));
    }
    Ok(named.or(settings.actor_id.as_deref()).unwrap_or("http-webhook").to_owned())
}
