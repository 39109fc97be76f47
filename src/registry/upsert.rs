//! A change of a connector's fields, field by field (contract sections 1.6 and 2.6): what is absent stays, null resets,
//! and values of secrets go to the store.

use serde_json::{Map, Value, json};

use super::{build::Pending, definition::Broken, secret_lists};
use crate::{
    connectors::manifest::{Manifest, SecretList},
    model::ids::ConnectorId,
    secrets::Secret,
};

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
        if let Some(list) = manifest.secret_lists.get(&field) {
            if let Err(mut wrong) = merge_list(id, (field.as_str(), list), value, &mut merged) {
                broken.append(&mut wrong);
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
    match read_secret(value, &format!("/{slot}"), || own_secret(id, slot), &mut merged.pending)? {
        Said::Nothing => {}
        Said::Clear => drop(merged.fields.remove(slot)),
        Said::Source(source) => drop(merged.fields.insert(slot.to_owned(), source)),
    }
    Ok(())
}

/// A list is replaced as a whole; an entry that says nothing of its secret keeps the one that its key has.
fn merge_list(
    id: &ConnectorId,
    (name, list): (&str, &SecretList),
    value: Value,
    merged: &mut Merged,
) -> Result<(), Vec<Broken>> {
    if value.is_null() {
        return Ok(());
    }
    let former = merged.fields.get(name).cloned().unwrap_or_default();
    let former =
        |key: &str| former.as_array()?.iter().find(|entry| entry[&list.key] == key)?.get(&list.secret).cloned();
    let (mut kept, mut broken) = (Vec::new(), Vec::new());
    for (index, (key, mut entry)) in secret_lists::read(value, name, list)?.into_iter().enumerate() {
        let (within, said) = (format!("/{name}/{index}"), entry.remove(&list.secret).unwrap_or_default());
        broken.extend(secret_lists::unknown(&entry, &within, list, std::slice::from_ref(&list.secret)));
        let pointer = format!("{within}/{}", list.secret);
        let own = || own_secret(id, &list.slot(name, &key));
        let source = match read_secret(said, &pointer, own, &mut merged.pending) {
            Ok(Said::Source(source)) => Some(source),
            Ok(Said::Nothing) => former(&key),
            Ok(Said::Clear) => None,
            Err(wrong) => {
                broken.push(wrong);
                continue;
            }
        };
        match source {
            Some(source) => kept.push(json!({ list.key.as_str(): key, list.secret.as_str(): source })),
            None => broken.push(secret_lists::without_secret(&pointer, &key)),
        }
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    if kept.is_empty() {
        merged.fields.remove(name);
    } else {
        merged.fields.insert(name.to_owned(), kept.into());
    }
    Ok(())
}

/// What a change says about one secret.
enum Said {
    /// It stays.
    Nothing,
    /// There is none any more.
    Clear,
    /// It comes from here, in the form that is kept.
    Source(Value),
}

/// Reads one secret of a change. A value goes to `pending`, under the name that it came with or its `own`.
fn read_secret(
    value: Value,
    pointer: &str,
    own: impl FnOnce() -> String,
    pending: &mut Pending,
) -> Result<Said, Broken> {
    let mut object = match value {
        Value::Null => return Ok(Said::Nothing),
        Value::Object(object) => object,
        _ => {
            let detail = "expected an object: {\"value\": …}, {\"env\": …}, {\"secret_ref\": …}, or {} to clear it";
            return Err(Broken::at(pointer, detail));
        }
    };
    let mut text = |member: &str| match object.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Broken::at(format!("{pointer}/{member}"), "expected text")),
    };
    let (value, env, reference) = (text("value")?.map(Secret::new), text("env")?, text("secret_ref")?);
    // What views show beside the source: they can be sent back as they are.
    let (configured, _) = (object.remove("configured"), object.remove("source"));
    if let Some(unknown) = object.keys().next() {
        return Err(Broken::at(format!("{pointer}/{unknown}"), "a secret has value, env and secret_ref"));
    }
    Ok(match (value, env, reference) {
        (None, None, None) if configured == Some(true.into()) => {
            let detail =
                "this is what shows of a value that nobody is shown: give it as {\"value\": …}, or leave it out";
            return Err(Broken::at(pointer, detail));
        }
        (None, None, None) => Said::Clear,
        (None, Some(name), None) => Said::Source(json!({ "env": name })),
        (Some(value), None, name) => {
            let name = name.unwrap_or_else(own);
            if pending.get(&name).is_some_and(|other| other.expose() != value.expose()) {
                let detail = format!("secret `{name}` gets two values: leave one out, or give it another secret_ref");
                return Err(Broken::at(pointer, detail));
            }
            let source = json!({ "secret_ref": name });
            pending.insert(name, value);
            Said::Source(source)
        }
        (None, None, Some(name)) => Said::Source(json!({ "secret_ref": name })),
        (_, Some(_), _) => {
            let detail = "env comes alone: leave out value and secret_ref, or leave out env";
            return Err(Broken::at(pointer, detail));
        }
    })
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
            "secret_lists": { "tokens": { "description": "tokens", "key": "team", "secret": "token" } },
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
            json!({"token": {"configured": true, "source": "inline"}}),
        ] {
            assert!(change(current.clone(), body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_a_view_shows_can_be_sent_back() {
        let current = json!({"token": {"env": "OLD"}});
        let shown = json!({"token": {"configured": true, "source": "env", "env": "OLD"}});
        assert_eq!(Value::from(change(current.clone(), shown).unwrap().fields), current);
        let none = change(current, json!({"token": {"configured": false}})).unwrap();
        assert!(none.fields.is_empty());
    }

    fn kept() -> Value {
        json!({"tokens": [{"team": "T1", "token": {"secret_ref": "one"}}, {"team": "T2", "token": {"env": "TWO"}}]})
    }

    #[test]
    fn a_list_is_kept_replaced_or_cleared() {
        let own = "connectors.http.orders.tokens.T3.token";
        let cases = [
            (json!({}), kept(), None),
            (json!({"tokens": null}), kept(), None),
            (json!({"tokens": []}), json!({}), None),
            (json!({"tokens": [{"team": "T2"}]}), json!({"tokens": [{"team": "T2", "token": {"env": "TWO"}}]}), None),
            (
                json!({"tokens": [{"team": "T2", "token": null}, {"team": "T3", "token": {"value": "v"}}]}),
                json!({"tokens": [{"team": "T2", "token": {"env": "TWO"}}, {"team": "T3", "token": {"secret_ref": own}}]}),
                Some(own),
            ),
            (
                json!({"tokens": [{"team": "T1", "token": {"value": "v", "secret_ref": "s"}}]}),
                json!({"tokens": [{"team": "T1", "token": {"secret_ref": "s"}}]}),
                Some("s"),
            ),
            (
                json!({"tokens": [{"team": "T1", "token": {"configured": true, "source": "secret_ref", "secret_ref": "one"}}]}),
                json!({"tokens": [{"team": "T1", "token": {"secret_ref": "one"}}]}),
                None,
            ),
        ];
        for (body, fields, stored) in cases {
            let merged = change(kept(), body.clone()).unwrap();
            assert_eq!(Value::from(merged.fields), fields, "{body}");
            assert_eq!(merged.pending.keys().next().map(String::as_str), stored, "{body}");
        }
    }

    #[test]
    fn every_mistake_in_a_list_has_its_place() {
        for (list, pointers) in [
            (json!({"team": "T1"}), vec!["/tokens"]),
            (json!([{"team": "T9"}]), vec!["/tokens/0/token"]),
            (json!([{"team": "T1", "token": {}}]), vec!["/tokens/0/token"]),
            (json!([{"team": "T1"}, {"team": "T1", "token": {"value": "v"}}]), vec!["/tokens/1/team"]),
            (
                json!([{"team": "T1", "token": "v"}, {"team": "T2", "token_env": "E"}]),
                vec!["/tokens/0/token", "/tokens/1/token_env"],
            ),
            (json!([{"team": "T1", "token": {"value": "v", "env": "E"}}]), vec!["/tokens/0/token"]),
            (json!([{"team": "T1", "token": {"value": 5}}]), vec!["/tokens/0/token/value"]),
            (
                json!([{"team": "T1", "token": {"value": "v", "secret_ref": "s"}},
                       {"team": "T2", "token": {"value": "w", "secret_ref": "s"}}]),
                vec!["/tokens/1/token"],
            ),
        ] {
            let broken = change(kept(), json!({ "tokens": list })).unwrap_err();
            let found: Vec<&str> = broken.iter().map(|broken| broken.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{list}");
        }
    }
}
