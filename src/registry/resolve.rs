//! A connector judged by its kind's manifest: which fields are secrets and where they come from, and whether the rest fits
//! the schema. Every broken rule is reported at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    definition::Broken,
    host_fields::HostFields,
    secret_fields::{self, SUFFIXES, Written},
    secret_lists,
};
use crate::{
    connectors::manifest::{HOST_FIELDS, Manifest},
    nearest::suggestion,
    secrets::SecretSet,
};

/// A connector's fields, each where it belongs.
#[derive(Debug)]
pub(super) struct Parts {
    /// What the host reads.
    pub(super) host: HostFields,
    /// What the kind's plugin gets to see. Secrets are absent from it.
    pub(super) settings: Value,
    /// Where secrets come from, by slot.
    pub(super) secrets: BTreeMap<String, Written>,
}

/// Sorts the fields of a connector of this kind, and says which rules they break.
pub(super) fn sort(fields: &Map<String, Value>, manifest: &Manifest) -> (Parts, Vec<Broken>) {
    let mut settings = fields.clone();
    let mut broken = Vec::new();
    let host = HostFields::take(&mut settings, &mut broken);
    let mut secrets = BTreeMap::new();
    for (slot, spec) in &manifest.secrets {
        match secret_fields::take(&mut settings, "", slot) {
            Ok(Some(written)) => drop(secrets.insert(slot.clone(), written)),
            Ok(None) if spec.required => {
                let ways =
                    format!("missing: give it, or `{slot}_env` with the name of a variable, or `{slot}_secret_ref`");
                broken.push(Broken::field(slot, format!("{ways} ({})", spec.description)));
            }
            Ok(None) => {}
            Err(wrong) => broken.push(wrong),
        }
    }
    let mut keys = Map::new();
    for (name, list) in &manifest.secret_lists {
        let entries = secret_lists::take(&mut settings, name, list).unwrap_or_else(|mut wrong| {
            broken.append(&mut wrong);
            Vec::new()
        });
        if !entries.is_empty() {
            keys.insert(name.clone(), secret_lists::keys(&entries, list));
        }
        secrets.extend(entries.into_iter().map(|entry| (list.slot(name, &entry.key), entry.written)));
    }
    refuse_unknown(manifest, &mut settings, &mut broken);
    let mut settings = Value::Object(settings);
    check_schema(manifest, &settings, &mut broken);
    // Not the schema's: the plugin sees who has a secret.
    settings.as_object_mut().into_iter().for_each(|settings| settings.append(&mut keys));
    (Parts { host, settings, secrets }, broken)
}

/// Refuses a connector whose callers nobody checks, unless it is open on purpose.
pub(super) fn check_door(manifest: &Manifest, parts: &Parts, secrets: &SecretSet) -> Option<Broken> {
    let authenticated = manifest.verification.iter().any(|recipe| secrets.contains_key(recipe.slot()));
    if authenticated || parts.host.allow_unauthenticated_ingress || manifest.ingress.is_closed(&parts.settings) {
        return None;
    }
    let slots: Vec<String> = manifest.verification.iter().map(|recipe| format!("`{}`", recipe.slot())).collect();
    let ways = if slots.is_empty() { String::new() } else { format!("give {}, or ", slots.join(" or ")) };
    Some(Broken::whole(format!(
        "nothing authenticates its callers: {ways}set allow_unauthenticated_ingress = true to let anybody in"
    )))
}

/// Refuses a connector that is to answer events along their own routes and has no secret to do that with (contract section 2.4).
pub(super) fn check_answers(manifest: &Manifest, parts: &Parts, secrets: &SecretSet) -> Option<Broken> {
    let needs = &manifest.delivery.needs;
    // The slot of an entry begins with its list's name.
    let filled = |need: &String| secrets.keys().any(|slot| slot.split('.').next() == Some(need.as_str()));
    if needs.is_empty() || parts.host.include_self_output == Some(false) || needs.iter().any(filled) {
        return None;
    }
    let ways = needs.iter().map(|need| format!("`{need}`")).collect::<Vec<_>>().join(" or ");
    let detail = format!("events are answered with {ways}: give one, or set include_self_output = false");
    Some(Broken::field("include_self_output", detail))
}

/// Names what neither the host nor the kind knows, once, with the nearest name that is known.
fn refuse_unknown(manifest: &Manifest, settings: &mut Map<String, Value>, broken: &mut Vec<Broken>) {
    let properties = manifest.settings.get("properties").and_then(Value::as_object);
    let closed = manifest.settings.get("additionalProperties") == Some(&Value::Bool(false));
    let Some(properties) = properties.filter(|_| closed) else { return };
    let unknown: Vec<String> = settings.keys().filter(|name| !properties.contains_key(*name)).cloned().collect();
    for name in unknown {
        settings.remove(&name);
        let slots: Vec<String> =
            manifest.secrets.keys().flat_map(|slot| SUFFIXES.map(|suffix| format!("{slot}{suffix}"))).collect();
        let lists = manifest.secret_lists.keys();
        let known = properties.keys().chain(&slots).chain(lists).map(String::as_str).chain(HOST_FIELDS);
        let sentence = format!("kind `{}` has no such field{}", manifest.kind, suggestion(&name, known));
        broken.push(Broken::field(&name, sentence));
    }
}

fn check_schema(manifest: &Manifest, settings: &Value, broken: &mut Vec<Broken>) {
    for error in manifest.validator().into_iter().flat_map(|validator| validator.iter_errors(settings)) {
        broken.push(Broken::at(error.instance_path().to_string(), error.to_string()));
    }
}
