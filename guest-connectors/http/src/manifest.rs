//! What the kind says about itself.

use kheish_guest::manifest::{Hmac, Manifest, Recipe};
use serde_json::{Value, json};

use crate::rules::{MAX_BINDING_KEYS, MAX_KEY_BYTES};

/// The manifest of kind `http`.
pub(crate) fn manifest() -> Manifest {
    Manifest::new("http", env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_DESCRIPTION"), "."))
        .settings(settings())
        .secret("bearer_token", "The token that callers send as `Authorization: Bearer <token>`.")
        .secret("hmac_secret", "The key that callers sign their requests with.")
        .verify(Recipe::Bearer { id: "bearer", slot: "bearer_token" })
        .verify(Hmac {
            id: "hmac",
            slot: "hmac_secret",
            template: "v1:{method}:{target}:{timestamp}:{body}",
            signature_header: "x-kheish-signature",
            signature_prefix: "v1=",
            timestamp_header: Some("x-kheish-timestamp"),
            max_age_setting: Some("signature_max_age_secs"),
            ..Hmac::default()
        })
        .ingress(&["POST"], 60)
        .sample(json!({"content": "{text}", "idempotency_key": "{id}", "binding_keys": ["{id}"]}))
        .open_sample(json!({"content": "{text}", "idempotency_key": "{id}"}))
}

fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "actor_id": {
                "description": "The actor of events that name none; `http-webhook` when absent.",
                "type": "string",
                "minLength": 1
            },
            "require_hmac_signature": {
                "description": "Refuse to serve without hmac_secret. A configured secret is enforced either way.",
                "type": "boolean",
                "default": false
            },
            "signature_max_age_secs": {
                "description": "How many seconds the timestamp of a signature may differ from now.",
                "type": "integer",
                "minimum": 1,
                "maximum": 3600,
                "default": 300
            },
            "require_idempotency_key": {
                "description": "Refuse events without an idempotency_key.",
                "type": "boolean",
                "default": true
            },
            "allow_payload_reply_targets": {
                "description": "Let authenticated callers say where answers go.",
                "type": "boolean",
                "default": false
            },
            "default_binding_keys": {
                "description": "Binding keys of events that name none: all of them share one conversation.",
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES},
                "maxItems": MAX_BINDING_KEYS,
                "default": []
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_secrets_have_their_recipe() {
        let manifest: Value = serde_json::from_str(&manifest().to_json()).unwrap();
        let recipes: Vec<_> =
            manifest["verification"].as_array().unwrap().iter().map(|recipe| &recipe["slot"]).collect();
        assert_eq!(recipes, ["bearer_token", "hmac_secret"]);
        assert_eq!(manifest["kind"], "http");
    }
}
