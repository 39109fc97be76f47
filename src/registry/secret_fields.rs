//! The spellings of a connector's secrets: `x`, `x_env`, `x_secret_ref` in a file (contract section 2.1), one object in JSON
//! (section 2.6).

use serde_json::{Map, Value, json};

use super::definition::Broken;
use crate::secrets::Secret;

/// Suffixes of a slot's name in a file.
pub(super) const SUFFIXES: [&str; 3] = ["", "_env", "_secret_ref"];

/// Where the value of a slot comes from.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    /// It was written out.
    Inline(Secret),
    /// An environment variable of the daemon's.
    Env(String),
    /// A secret in the store.
    Reference(String),
}

/// A source, and the field that named it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// JSON pointer to the field.
    pub(super) pointer: String,
    /// What it says.
    pub(super) source: SecretSource,
}

/// Takes a slot's spellings out of fields; at most one of them may be there. `within` is the JSON pointer that leads to the
/// fields.
pub(super) fn take(fields: &mut Map<String, Value>, within: &str, slot: &str) -> Result<Option<Written>, Broken> {
    let mut found = Vec::new();
    for suffix in SUFFIXES {
        let field = format!("{slot}{suffix}");
        if let Some(value) = fields.remove(&field) {
            found.push((field, suffix, value));
        }
    }
    if let [(first, ..), (second, ..), ..] = found.as_slice() {
        return Err(Broken::at(format!("{within}/{second}"), format!("give `{first}` or `{second}`, not both")));
    }
    let Some((field, suffix, value)) = found.pop() else { return Ok(None) };
    let pointer = format!("{within}/{field}");
    let source = match (suffix, value) {
        ("", Value::Object(object)) => return from_object(pointer, object),
        ("", Value::String(value)) => SecretSource::Inline(Secret::new(value)),
        ("_env", Value::String(name)) => SecretSource::Env(name),
        (_, Value::String(name)) => SecretSource::Reference(name),
        _ => return Err(Broken::at(pointer, "expected text in quotes")),
    };
    Ok(Some(Written { pointer, source }))
}

/// `{env}` or `{secret_ref}`, as the store keeps it; values are never kept there.
fn from_object(pointer: String, mut object: Map<String, Value>) -> Result<Option<Written>, Broken> {
    let env = object.remove("env");
    let reference = object.remove("secret_ref");
    let source = match (env, reference) {
        (Some(Value::String(name)), None) if object.is_empty() => SecretSource::Env(name),
        (None, Some(Value::String(name))) if object.is_empty() => SecretSource::Reference(name),
        _ => return Err(Broken::at(pointer, "expected {\"env\": \"NAME\"} or {\"secret_ref\": \"NAME\"}")),
    };
    Ok(Some(Written { pointer, source }))
}

/// How a slot shows to operators (contract section 2.7): never its value.
pub(super) fn redacted(written: Option<&Written>) -> Value {
    match written.map(|written| &written.source) {
        None => json!({ "configured": false }),
        Some(SecretSource::Inline(_)) => json!({ "configured": true, "source": "inline" }),
        Some(SecretSource::Env(name)) => json!({ "configured": true, "source": "env", "env": name }),
        Some(SecretSource::Reference(name)) => {
            json!({ "configured": true, "source": "secret_ref", "secret_ref": name })
        }
    }
}

/// The names of secrets in the store that a connector refers to, in either spelling, those of lists among them.
pub(super) fn references(fields: &Map<String, Value>) -> Vec<&str> {
    let mut found: Vec<&str> = fields.iter().filter_map(|(field, value)| reference(field, value)).collect();
    for value in fields.values() {
        let entries = value.as_array().into_iter().flatten().filter_map(Value::as_object);
        found.extend(entries.flatten().filter_map(|(field, value)| reference(field, value)));
    }
    found
}

fn reference<'f>(field: &str, value: &'f Value) -> Option<&'f str> {
    match value {
        Value::String(name) if field.ends_with("_secret_ref") => Some(name.as_str()),
        Value::Object(object) if object.len() == 1 => object.get("secret_ref").and_then(Value::as_str),
        _ => None,
    }
}
