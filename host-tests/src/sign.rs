//! Signatures as the contract writes them, and the digests that it derives ids from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What stands in the two signature headers.
#[derive(Clone, Debug)]
pub struct Signature {
    /// `X-Kheish-Timestamp`.
    pub timestamp: String,
    /// `X-Kheish-Signature`.
    pub signature: String,
}

/// Signs a request: HMAC-SHA-256 over `v1:METHOD:path-and-query:timestamp:body`.
pub fn sign(secret: &str, method: &str, target: &str, timestamp: &str, body: &[u8]) -> Signature {
    let head = format!("v1:{method}:{target}:{timestamp}:");
    let signature = format!("v1={}", hmac_hex(secret, &[head.as_bytes(), body].concat()));
    Signature { timestamp: timestamp.to_owned(), signature }
}

/// HMAC-SHA-256 in lower-case hexadecimal.
pub fn hmac_hex(secret: &str, message: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is good");
    hex::encode(mac.chain_update(message).finalize().into_bytes())
}

/// `webhook-signature` of the Standard Webhooks specification under this key.
pub fn webhook(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is good");
    let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The time since 1970.
#[expect(clippy::disallowed_methods, reason = "a sender stamps its requests with the time that is")]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
pub fn now_secs() -> u64 {
    now().as_secs()
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The session that an `http` event with this first binding key goes to by itself.
pub fn natural_session(connector: &str, first_key: &str) -> String {
    format!("http:{connector}:{}", &sha256_hex(first_key)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = webhook(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_published_vector() {
        let target = "/v1/connectors/http/orders?source=a%2Fb&attempt=1";
        let body = br#"{"content":"hello","idempotency_key":"order-123","metadata":{"k":"v"}}"#;
        let signed = sign("hmac-test-secret", "POST", target, "1710000000", body);
        assert_eq!(signed.signature, "v1=f13a4b8c5099a2ffc6b8a913e0998d6765d61a693c27f594ca34ede2e0d4e557");
    }
}
