//! The rules that a manifest's shape cannot say.

use http::{HeaderName, Method};

use super::{HmacRecipe, Manifest, Recipe, egress, pace, presence::LASTS_MS, secret_list};

/// The contract version that this host speaks.
const CONTRACT: &str = "0.1";

/// Names in a connector's table that are the host's own.
pub(crate) const HOST_FIELDS: [&str; 12] = [
    "name",
    "kind",
    "fixed_session_id",
    "allow_unauthenticated_ingress",
    "ingress_events_per_second",
    "default_reply_targets",
    "include_self_output",
    "additional_reply_targets",
    "session_policy",
    "unknown_deliveries",
    "allow_private_network",
    "executor",
];

/// What stands between braces in a template.
const PLACEHOLDERS: [&str; 4] = ["method", "target", "timestamp", "body"];

/// One sentence for each rule that is broken.
pub(super) fn broken_rules(manifest: &Manifest) -> Vec<String> {
    let mut broken = Vec::new();
    if manifest.contract != CONTRACT {
        broken.push(format!("contract is `{}`, this host speaks `{CONTRACT}`", manifest.contract));
    }
    if !is_name(&manifest.kind, 32) {
        broken.push(format!("kind is `{}`: expected [a-z][a-z0-9_]{{0,31}}", manifest.kind));
    }
    check_settings(manifest, &mut broken);
    for slot in manifest.secrets.keys() {
        if !is_name(slot, 64) || HOST_FIELDS.contains(&slot.as_str()) {
            broken.push(format!(
                "secret slot `{slot}`: expected [a-z][a-z0-9_]{{0,63}}, and none of the host's own fields"
            ));
        }
    }
    broken.extend(secret_list::broken_rules(manifest, |name| is_name(name, 64)));
    broken.extend(egress::broken_rules(manifest, |name| is_name(name, 64)));
    for (index, recipe) in manifest.verification.iter().enumerate() {
        check_recipe(manifest, recipe, &mut |sentence| broken.push(format!("verification[{index}]: {sentence}")));
    }
    for method in &manifest.ingress.methods {
        if Method::from_bytes(method.as_bytes()).is_err() || *method != method.to_uppercase() {
            broken.push(format!("ingress method `{method}` is not an HTTP method in capitals"));
        }
    }
    if manifest.ingress.methods.is_empty() || manifest.ingress.events_per_second == 0 {
        broken.push("ingress needs at least one method and a rate above 0".to_owned());
    }
    if !LASTS_MS.contains(&manifest.presence.lasts_ms) {
        broken.push(format!("presence.lasts_ms is from {} to {}", LASTS_MS.start(), LASTS_MS.end()));
    }
    for (name, most) in [("limit", manifest.delivery.limit), ("caption", manifest.delivery.caption)] {
        if most == Some(0) || (manifest.delivery.whole && most.is_some()) {
            broken.push(format!("delivery.{name} is above 0, and there is none where deliveries are whole"));
        }
    }
    broken.extend(pace::broken_rules(&manifest.delivery.pace));
    broken
}

fn check_settings(manifest: &Manifest, broken: &mut Vec<String>) {
    if let Err(error) = jsonschema::validator_for(&manifest.settings) {
        broken.push(format!("settings is not a JSON Schema: {error}"));
    }
    let properties = manifest.settings.get("properties").and_then(serde_json::Value::as_object);
    for name in properties.into_iter().flat_map(serde_json::Map::keys) {
        let secret = manifest.secrets.contains_key(name) || manifest.secret_lists.contains_key(name);
        if HOST_FIELDS.contains(&name.as_str()) || secret {
            broken.push(format!("setting `{name}` has the name of a field of the host's or of a secret slot"));
        }
    }
}

fn check_recipe(manifest: &Manifest, recipe: &Recipe, complain: &mut impl FnMut(String)) {
    if !manifest.secrets.contains_key(recipe.slot()) {
        complain(format!("slot `{}` is not among the secrets", recipe.slot()));
    }
    if manifest.verification.iter().filter(|other| other.id() == recipe.id()).count() > 1 || recipe.id().is_empty() {
        complain(format!("id `{}` is empty or used twice", recipe.id()));
    }
    match recipe {
        Recipe::Bearer { .. } => {}
        Recipe::HeaderEquals { header, .. } => check_header(header, complain),
        Recipe::Hmac(hmac) => check_hmac(hmac, complain),
    }
}

fn check_hmac(hmac: &HmacRecipe, complain: &mut impl FnMut(String)) {
    check_header(&hmac.signature_header, complain);
    if let Some(header) = &hmac.timestamp_header {
        check_header(header, complain);
    }
    for piece in hmac.template.split('{').skip(1) {
        let name = piece.split_once('}').map(|(name, _)| name);
        if !name.is_some_and(|name| PLACEHOLDERS.contains(&name)) {
            complain(format!("template has `{{{piece}`: expected one of {{{}}}", PLACEHOLDERS.join("}, {")));
        }
    }
    if !hmac.template.contains("{body}") {
        complain("template leaves out {body}, so anybody could change the body".to_owned());
    }
    if hmac.timestamp_header.is_some() != hmac.template.contains("{timestamp}") {
        complain(
            "a timestamp header and {timestamp} in the template come together: unsigned times prove nothing".to_owned(),
        );
    }
}

fn check_header(name: &str, complain: &mut impl FnMut(String)) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() || name != name.to_lowercase() {
        complain(format!("`{name}` is not a header name in lower case"));
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "contract": "0.1", "kind": "good", "version": "1",
            "settings": { "type": "object", "properties": { "channel": { "type": "string" } } },
            "secrets": { "key": { "description": "signs requests" } },
            "verification": [{
                "scheme": "hmac", "id": "hmac", "slot": "key", "algorithm": "sha256", "template": "{timestamp}.{body}",
                "signature_header": "x-signature", "timestamp_header": "x-timestamp",
            }],
        })
    }

    /// One list of this name, whose entries have this key.
    fn list(name: &str, key: &str, sent_to: Value) -> Value {
        json!({ name: { "description": "k", "key": key, "secret": "token", "sent_to": sent_to } })
    }

    fn parse(manifest: &Value) -> Result<Manifest, String> {
        Manifest::parse(&manifest.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_manifest_passes() {
        assert_eq!(parse(&good()).map(|manifest| manifest.kind), Ok("good".to_owned()));
    }

    #[test]
    fn the_published_schema_takes_what_is_taken_here() {
        let schema = serde_json::from_str(include_str!("../../../wit/manifest.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let full = json!({
            "contract": "0.1", "kind": "full", "version": "1", "description": "Everything there is.",
            "settings": { "type": "object", "properties": { "age": { "type": "integer" } } },
            "secrets": { "key": { "description": "signs", "required": true, "sent_to": ["api"] } },
            "secret_lists": { "keys": { "description": "k", "key": "team", "secret": "token", "sent_to": ["api"] } },
            "egress": { "api": { "origins": ["https://*.example.com", "https://example.com:8443"], "setting": "age" } },
            "verification": [
                { "scheme": "bearer", "id": "bearer", "slot": "key" },
                { "scheme": "header_equals", "id": "header", "slot": "key", "header": "x-token" },
                { "scheme": "hmac", "id": "hmac", "slot": "key", "algorithm": "sha512", "template": "{timestamp}:{body}",
                  "signature_header": "x-signature", "signature_prefix": "v0=", "encoding": "base64",
                  "timestamp_header": "x-timestamp", "max_age_secs": 60, "max_age_setting": "age" },
            ],
            "ingress": {
                "methods": ["POST", "PUT"], "events_per_second": 5,
                "closed_by": { "age": 0 }, "sample": { "text": "{text}" }, "open_sample": { "text": "{text}" },
            },
            "delivery": {
                "limit": 2000, "unit": "utf16", "caption": 100, "whole": false, "unknown": "hold", "needs": ["key", "keys"],
                "pace": [
                    { "by": "/room", "starting": "-", "amount": 20, "per_ms": 60000, "burst": 5 },
                    { "amount": 30, "per_ms": 1000 },
                ],
            },
            "presence": { "lasts_ms": 5000 },
        });
        for manifest in [&good(), &full] {
            assert!(parse(manifest).is_ok() && schema.is_valid(manifest), "{:?}", schema.validate(manifest));
        }
        for (pointer, value) in [
            ("/contract", json!("0.2")),
            ("/kind", json!("Bad Kind")),
            ("/secrets/key/required", json!("yes")),
            ("/secret_lists/keys", json!({ "description": "k", "key": "team" })),
            ("/secret_lists/keys/key", json!("Team")),
            ("/secret_lists/keys/secret", json!("to ken")),
            ("/verification/2/algorithm", json!("md5")),
            ("/verification/1/header", json!("X-Token")),
            ("/ingress/methods", json!([])),
            ("/ingress/events_per_second", json!(0)),
            ("/egress/api", json!({})),
            ("/egress/api/origins/0", json!("http://example.com")),
            ("/egress/api/origins/0", json!("https://example.com/path")),
            ("/egress/api/origins/0", json!("https://a.*.example.com")),
            ("/delivery/limit", json!(0)),
            ("/delivery/caption", json!(0)),
            ("/presence/lasts_ms", json!(999)),
            ("/delivery/whole", json!(true)),
            ("/delivery/unit", json!("letters")),
            ("/delivery/unknown", json!("guess")),
            ("/delivery/pace/0/by", json!("room")),
            ("/delivery/pace/0/amount", json!(0)),
            ("/delivery/pace/0/rate", json!(1)),
            ("/delivery/pace/1/starting", json!("-")),
            ("/delivery/pace/1/burst", json!(0)),
            ("/delivery/pace", json!(vec![json!({ "amount": 1, "per_ms": 1 }); 9])),
        ] {
            let mut manifest = full.clone();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            match manifest.pointer_mut(parent).unwrap() {
                Value::Array(items) => items[member.parse::<usize>().unwrap()] = value,
                object => object[member] = value,
            }
            assert!(parse(&manifest).is_err() && !schema.is_valid(&manifest), "{pointer}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases = [
            ("/contract", json!("0.2"), "this host speaks"),
            ("/kind", json!("Bad Kind"), "kind is"),
            ("/settings", json!({ "type": 1 }), "not a JSON Schema"),
            ("/settings/properties", json!({ "session_policy": {} }), "field of the host's"),
            ("/settings/properties", json!({ "key": {} }), "secret slot"),
            ("/verification/0/slot", json!("other"), "not among the secrets"),
            ("/verification/0/template", json!("{timestamp}"), "leaves out {body}"),
            ("/verification/0/template", json!("{body}"), "come together"),
            ("/verification/0/template", json!("{timestamp}{body}{path}"), "expected one of"),
            ("/verification/0/signature_header", json!("X-Signature"), "lower case"),
            ("/egress", json!({ "api": {} }), "neither origins nor a setting"),
            ("/egress", json!({ "API": { "setting": "channel" } }), "the name is not"),
            ("/egress", json!({ "api": { "setting": "base" } }), "no property `base`"),
            ("/egress", json!({ "api": { "origins": ["http://a.example"] } }), "`https://host`"),
            ("/egress", json!({ "api": { "origins": ["https://u@a.example"] } }), "leave them out"),
            ("/secrets/key/sent_to", json!(["api"]), "which egress does not name"),
            ("/secret_lists", list("keys", "team", json!(["api"])), "which egress does not name"),
            ("/secret_lists", list("key", "team", json!([])), "secret slots"),
            ("/secret_lists", list("executor", "team", json!([])), "host's own fields"),
            ("/secret_lists", list("channel", "team", json!([])), "has the name of a field"),
            ("/secret_lists", list("keys", "token_env", json!([])), "two different names"),
            ("/delivery", json!({ "needs": ["keys"] }), "neither a secret slot nor a list"),
            (
                "/delivery",
                json!({ "pace": [{ "by": "room", "amount": 1, "per_ms": 1 }] }),
                "delivery.pace[0]: by is `room`",
            ),
        ];
        for (pointer, value, says) in cases {
            let mut manifest = good();
            manifest["secrets"]["key"]["sent_to"] = json!([]);
            manifest["egress"] = json!({});
            manifest["secret_lists"] = json!({});
            manifest["delivery"] = json!({});
            *manifest.pointer_mut(pointer).unwrap() = value;
            let error = parse(&manifest).unwrap_err();
            assert!(error.contains(says), "{pointer}: {error}");
        }
        let mut unknown = good();
        unknown["surprise"] = json!(1);
        assert!(parse(&unknown).unwrap_err().contains("surprise"));
    }
}
