//! Recipes against good and forged requests.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{cli::bench::Noop, connectors::Plugin, secrets::Secret};

const BODY: &str = r#"{"content":"hello","idempotency_key":"order-123","metadata":{"k":"v"}}"#;
const TARGET: &str = "/v1/connectors/http/orders?source=a%2Fb&attempt=1";
const NOW_MS: i64 = 1_710_000_000_000;
/// The published vector of contract section 3.2.
const SIGNATURE: &str = "v1=f13a4b8c5099a2ffc6b8a913e0998d6765d61a693c27f594ca34ede2e0d4e557";

fn verifier(slots: &[(&str, &str)], settings: &Value) -> Verifier {
    let secrets = slots.iter().map(|(slot, secret)| ((*slot).to_owned(), Secret::new(*secret))).collect();
    Verifier::new(Noop::new().manifest(), settings, &secrets)
}

fn signed() -> Verifier {
    verifier(&[("hmac_secret", "hmac-test-secret")], &json!({}))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn check(verifier: &Verifier, headers: &HeaderMap, now_ms: i64) -> Result<Option<String>, &'static str> {
    let head = verifier.check_head("POST", TARGET, headers, now_ms).map_err(|denied| denied.code)?;
    verifier.check_body(&head, BODY.as_bytes()).map_err(|denied| denied.code)
}

#[test]
fn the_published_vector_passes_in_either_case() {
    let good = headers(&[("x-kheish-timestamp", "1710000000"), ("x-kheish-signature", SIGNATURE)]);
    assert_eq!(check(&signed(), &good, NOW_MS), Ok(Some("hmac".to_owned())));
    let upper = format!("v1={}", SIGNATURE[3..].to_uppercase());
    let good = headers(&[("x-kheish-timestamp", "1710000000"), ("x-kheish-signature", &upper)]);
    assert!(check(&signed(), &good, NOW_MS + 300_000).is_ok());
}

#[test]
fn each_fault_has_its_code() {
    let time = ("x-kheish-timestamp", "1710000000");
    let signature = ("x-kheish-signature", SIGNATURE);
    let cases = [
        (vec![time], "missing_signature"),
        (vec![signature], "missing_timestamp"),
        (vec![time, time, signature], "malformed_timestamp"),
        (vec![time, signature, signature], "malformed_signature"),
        (vec![("x-kheish-timestamp", "+1710000000"), signature], "malformed_timestamp"),
        (vec![("x-kheish-timestamp", "1710000000.5"), signature], "malformed_timestamp"),
        (vec![("x-kheish-timestamp", ""), signature], "malformed_timestamp"),
        (vec![time, ("x-kheish-signature", &SIGNATURE[3..])], "malformed_signature"),
        (vec![time, ("x-kheish-signature", &SIGNATURE[..66])], "malformed_signature"),
        (vec![("x-kheish-timestamp", "1710000001"), signature], "invalid_signature"),
        (vec![("x-kheish-timestamp", "1709999699"), signature], "stale_timestamp"),
        (vec![("x-kheish-timestamp", "1710000301"), signature], "stale_timestamp"),
    ];
    for (pairs, code) in cases {
        assert_eq!(check(&signed(), &headers(&pairs), NOW_MS), Err(code), "{pairs:?}");
    }
}

#[test]
fn the_age_comes_from_the_setting() {
    let good = headers(&[("x-kheish-timestamp", "1710000000"), ("x-kheish-signature", SIGNATURE)]);
    let mut manifest = Noop::new().manifest().clone();
    if let Some(Recipe::Hmac(recipe)) = manifest.verification.get_mut(1) {
        recipe.max_age_setting = Some("age".to_owned());
    }
    let secrets = [("hmac_secret".to_owned(), Secret::new("hmac-test-secret"))].into();
    let verifier = Verifier::new(&manifest, &json!({ "age": 10 }), &secrets);
    assert!(check(&verifier, &good, NOW_MS + 10_000).is_ok());
    assert_eq!(check(&verifier, &good, NOW_MS + 11_000), Err("stale_timestamp"));
}

#[test]
fn with_both_configured_both_must_pass() {
    let both = verifier(&[("hmac_secret", "hmac-test-secret"), ("bearer_token", "tok")], &json!({}));
    let time = ("x-kheish-timestamp", "1710000000");
    let signature = ("x-kheish-signature", SIGNATURE);
    let with = |value: &'static str| headers(&[time, signature, ("authorization", value)]);
    assert!(check(&both, &with("Bearer tok"), NOW_MS).is_ok());
    assert_eq!(check(&both, &headers(&[time, signature]), NOW_MS), Err("missing_token"));
    assert_eq!(check(&both, &with("bearer tok"), NOW_MS), Err("malformed_token"));
    assert_eq!(check(&both, &with("Bearer toK"), NOW_MS), Err("invalid_token"));
    assert_eq!(check(&both, &headers(&[("authorization", "Bearer tok")]), NOW_MS), Err("missing_timestamp"));
    assert_eq!(both.consumed_headers(), ["authorization"]);
}

proptest! {
    #[test]
    fn any_changed_byte_is_refused(at in 0..BODY.len(), flip in 1u8..=255) {
        let good = headers(&[("x-kheish-timestamp", "1710000000"), ("x-kheish-signature", SIGNATURE)]);
        let verifier = signed();
        let head = verifier.check_head("POST", TARGET, &good, NOW_MS).unwrap();
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= flip;
        prop_assert!(verifier.check_body(&head, &body).is_err());
        let mut target = TARGET.as_bytes().to_vec();
        let at = at % target.len();
        target[at] = if target[at] == b'x' { b'y' } else { b'x' };
        let head = verifier.check_head("POST", std::str::from_utf8(&target).unwrap(), &good, NOW_MS).unwrap();
        prop_assert!(verifier.check_body(&head, BODY.as_bytes()).is_err());
        let head = verifier.check_head("PUT", TARGET, &good, NOW_MS).unwrap();
        prop_assert!(verifier.check_body(&head, BODY.as_bytes()).is_err());
    }
}
