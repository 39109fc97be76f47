//! A change of a connector's fields, field by field (contract sections 1.6 and 2.6): what is absent stays, null resets,
//! and values of secrets go to the store.

use serde_json::{Map, Value, json};

use super::{build::Pending, definition::Broken};
use crate::{connectors::manifest::Manifest, model::ids::ConnectorId, secrets::Secret};

/// The fields of a connector after a change.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) fields: Map<String, Value>,
    /// Values to store, by the name of the secret.
    pub(super) pending: Pending,
}

/// The secret that holds the value of a connector's slot when it was given inline.
pub(super) fn own_secret(id: &ConnectorId, slot: &str) -> String {
    format!("connectors.{}.{}.{slot}", id.kind, id.name)
}

/// Applies `change` to `current`.
pub(super) fn merge(
    id: &ConnectorId,
    manifest: &Manifest,
    current: &Map<String, Value>,
    change: Map<String, Value>,
) -> Result<Merged, Vec<Broken>> {
    let mut merged = Merged { fields: current.clone(), pending: Pending::new() };
    let mut broken = Vec::new();
    for (field, value) in change {
        if manifest.secrets.contains_key(&field) {
            if let Err(wrong) = merge_secret(id, &field, value, &mut merged) {
                broken.push(wrong);
            }
            continue;
        }
        match (field.as_str(), value) {
            ("name", Value::String(name)) if name == id.name => {}
            ("kind", Value::String(kind)) if kind == id.kind => {}
            ("name" | "kind", _) => {
                broken.push(Broken::field(
                    &field,
                    format!("this is `{id}`: leave the field out, or give what the path says"),
                ));
            }
            (_, Value::Null) => drop(merged.fields.remove(&field)),
            (_, value) => drop(merged.fields.insert(field, value)),
        }
    }
    if broken.is_empty() { Ok(merged) } else { Err(broken) }
}

fn merge_secret(id: &ConnectorId, slot: &str, value: Value, merged: &mut Merged) -> Result<(), Broken> {
    let mut object = match value {
        Value::Null => return Ok(()),
        Value::Object(object) => object,
        _ => {
            return Err(Broken::field(
                slot,
                "expected an object: {\"value\": …}, {\"env\": …}, {\"secret_ref\": …}, or {} to clear it",
            ));
        }
    };
    let mut text = |member: &str| match object.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Broken::at(format!("/{slot}/{member}"), "expected text")),
    };
    let (value, env, reference) = (text("value")?.map(Secret::new), text("env")?, text("secret_ref")?);
    if let Some(unknown) = object.keys().next() {
        return Err(Broken::at(format!("/{slot}/{unknown}"), "a secret has value, env and secret_ref"));
    }
    let kept = match (value, env, reference) {
        (None, None, None) => {
            merged.fields.remove(slot);
            return Ok(());
        }
        (None, Some(name), None) => json!({ "env": name }),
        (Some(value), None, name) => {
            let name = name.unwrap_or_else(|| own_secret(id, slot));
            let kept = json!({ "secret_ref": name });
            merged.pending.insert(name, value);
            kept
        }
        (None, None, Some(name)) => json!({ "secret_ref": name }),
        (_, Some(_), _) => {
            return Err(Broken::field(slot, "env comes alone: leave out value and secret_ref, or leave out env"));
        }
    };
    merged.fields.insert(slot.to_owned(), kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ConnectorId {
        ConnectorId { kind: "http".to_owned(), name: "orders".to_owned() }
    }

    fn manifest() -> Manifest {
        let text = json!({
            "contract": "0.1", "kind": "http", "version": "1", "secrets": { "token": { "description": "a token" } },
        });
        Manifest::parse(&text.to_string()).unwrap()
    }

    fn change(current: Value, change: Value) -> Result<Merged, Vec<Broken>> {
        let map = |value: Value| value.as_object().cloned().unwrap();
        merge(&id(), &manifest(), &map(current), map(change))
    }

    #[test]
    fn absent_stays_null_resets_and_the_rest_is_replaced() {
        let merged = change(json!({"a": 1, "b": 2, "c": 3}), json!({"b": null, "c": 4, "name": "orders"})).unwrap();
        assert_eq!(Value::from(merged.fields), json!({"a": 1, "c": 4}));
        assert!(change(json!({}), json!({"name": "other", "kind": 3})).is_err_and(|broken| broken.len() == 2));
    }

    #[test]
    fn each_spelling_of_a_secret_has_its_effect() {
        let current = json!({"token": {"env": "OLD"}});
        let cases = [
            (json!({}), json!({"token": {"env": "OLD"}}), None),
            (json!({"token": null}), json!({"token": {"env": "OLD"}}), None),
            (json!({"token": {}}), json!({}), None),
            (json!({"token": {"value": null}}), json!({}), None),
            (json!({"token": {"env": "NEW"}}), json!({"token": {"env": "NEW"}}), None),
            (json!({"token": {"secret_ref": "s"}}), json!({"token": {"secret_ref": "s"}}), None),
            (
                json!({"token": {"value": "v"}}),
                json!({"token": {"secret_ref": "connectors.http.orders.token"}}),
                Some("connectors.http.orders.token"),
            ),
            (json!({"token": {"value": "v", "secret_ref": "s"}}), json!({"token": {"secret_ref": "s"}}), Some("s")),
        ];
        for (body, fields, stored) in cases {
            let merged = change(current.clone(), body.clone()).unwrap();
            assert_eq!(Value::from(merged.fields), fields, "{body}");
            assert_eq!(merged.pending.keys().next().map(String::as_str), stored, "{body}");
        }
        for body in [
            json!({"token": "v"}),
            json!({"token": {"value": "v", "env": "E"}}),
            json!({"token": {"env": "E", "secret_ref": "s"}}),
            json!({"token": {"value": 1}}),
            json!({"token": {"vaule": "v"}}),
        ] {
            assert!(change(current.clone(), body.clone()).is_err(), "{body}");
        }
    }
}
