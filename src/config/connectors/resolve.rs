//! A connector judged by its kind's manifest: which fields are secrets and where they come from, and whether the rest fits
//! the schema. Every broken rule is reported at once.

use serde_json::{Map, Value};

use super::{ConnectorConfig, Problem, suggestion};
use crate::{
    connectors::manifest::{HOST_FIELDS, Manifest},
    secrets::{Secret, SecretSet},
};

/// What the kind's plugin gets to see, and what only the host does.
#[derive(Debug)]
pub struct Resolved {
    /// Settings that fit the schema. Secrets are absent from them.
    pub settings: Value,
    /// Secrets by slot.
    pub secrets: SecretSet,
}

/// Environment variables by name.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Splits and checks what was written for a connector of this kind.
pub fn resolve(
    config: &ConnectorConfig,
    manifest: &Manifest,
    environment: Environment<'_>,
) -> Result<Resolved, Vec<Problem>> {
    let mut settings = config.rest.clone();
    let mut problems = Vec::new();
    let mut secrets = SecretSet::new();
    for (slot, spec) in &manifest.secrets {
        match take_secret(config, &mut settings, slot, environment) {
            Ok(Some(secret)) => drop(secrets.insert(slot.clone(), secret)),
            Ok(None) if spec.required => {
                let sentence =
                    format!("missing: give it, or `{slot}_env` with the name of a variable ({})", spec.description);
                problems.push(config.problem(slot, sentence));
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    refuse_unknown(config, manifest, &mut settings, &mut problems);
    let settings = Value::Object(settings);
    check_schema(config, manifest, &settings, &mut problems);
    let authenticated = manifest.verification.iter().any(|recipe| secrets.contains_key(recipe.slot()));
    if problems.is_empty() && !authenticated && !config.host.allow_unauthenticated_ingress {
        problems.push(config.problem("", nobody_checks(manifest)));
    }
    if problems.is_empty() { Ok(Resolved { settings, secrets }) } else { Err(problems) }
}

/// `slot`, `slot_env` or `slot_secret_ref` (contract section 2.1); at most one of them.
fn take_secret(
    config: &ConnectorConfig,
    settings: &mut Map<String, Value>,
    slot: &str,
    environment: Environment<'_>,
) -> Result<Option<Secret>, Problem> {
    let [inline, variable, reference] = ["", "_env", "_secret_ref"].map(|suffix| {
        let field = format!("{slot}{suffix}");
        settings.remove(&field).map(|value| (field, value))
    });
    if let Some((field, _)) = reference {
        return Err(config.problem(&field, format!("this version has no secret store: use `{slot}_env`")));
    }
    let text = |field: &str, value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err(config.problem(field, "expected text in quotes")),
    };
    let (field, secret) = match (inline, variable) {
        (None, None) => return Ok(None),
        (Some(_), Some((field, _))) => {
            return Err(config.problem(&field, format!("give `{slot}` or `{field}`, not both")));
        }
        (Some((field, value)), None) => (field.clone(), text(&field, value)?),
        (None, Some((field, value))) => {
            let name = text(&field, value)?;
            let sentence = || format!("the environment variable `{name}` is not set");
            let secret = environment(&name).ok_or_else(|| config.problem(&field, sentence()))?;
            (field, secret)
        }
    };
    if secret.trim().is_empty() {
        return Err(config.problem(&field, "the secret is blank: give one, or leave the field out"));
    }
    Ok(Some(Secret::new(secret)))
}

/// Names what neither the host nor the kind knows, once, with the nearest name that is known.
fn refuse_unknown(
    config: &ConnectorConfig,
    manifest: &Manifest,
    settings: &mut Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    let properties = manifest.settings.get("properties").and_then(Value::as_object);
    let closed = manifest.settings.get("additionalProperties") == Some(&Value::Bool(false));
    let Some(properties) = properties.filter(|_| closed) else { return };
    let unknown: Vec<String> = settings.keys().filter(|name| !properties.contains_key(*name)).cloned().collect();
    for name in unknown {
        settings.remove(&name);
        let slots: Vec<String> =
            manifest.secrets.keys().flat_map(|slot| [slot.clone(), format!("{slot}_env")]).collect();
        let known = properties.keys().chain(&slots).map(String::as_str).chain(HOST_FIELDS);
        let sentence = format!("kind `{}` has no such field{}", manifest.kind, suggestion(&name, known));
        problems.push(config.problem(&name, sentence));
    }
}

fn check_schema(config: &ConnectorConfig, manifest: &Manifest, settings: &Value, problems: &mut Vec<Problem>) {
    // The manifest was refused when its schema is none.
    let Ok(validator) = jsonschema::validator_for(&manifest.settings) else { return };
    for error in validator.iter_errors(settings) {
        let pointer = error.instance_path().to_string();
        let field = pointer.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        problems.push(config.problem(&field, error.to_string()));
    }
}

fn nobody_checks(manifest: &Manifest) -> String {
    let slots: Vec<String> = manifest.verification.iter().map(|recipe| format!("`{}`", recipe.slot())).collect();
    let ways = if slots.is_empty() { String::new() } else { format!("give {}, or ", slots.join(" or ")) };
    format!("nothing authenticates its callers: {ways}set allow_unauthenticated_ingress = true to let anybody in")
}
