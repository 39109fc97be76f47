//! Signatures of outbound requests, as the Standard Webhooks specification says. Pure.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Secret;

/// What a secret begins with whose key is the base64 that follows.
const PREFIX: &[u8] = b"whsec_";

/// Padding or none: people copy secrets with and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret begins with `whsec_`, and what follows is not the base64 of a key")]
pub struct BadKey;

/// The value of `webhook-signature`: HMAC-SHA-256 over `id.seconds.body`. `seconds` are since 1970, as in
/// `webhook-timestamp`.
pub fn sign(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> Result<String, BadKey> {
    let key = key(secret)?;
    let mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadKey)?;
    let mac = mac.chain_update(format!("{id}.{seconds}.")).chain_update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether a secret can sign.
pub fn check(secret: &Secret) -> Result<(), BadKey> {
    key(secret).map(drop)
}

fn key(secret: &Secret) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let Some(encoded) = secret.expose().strip_prefix(PREFIX) else {
        return Ok(Zeroizing::new(secret.expose().to_vec()));
    };
    let key = LENIENT.decode(encoded.trim_ascii()).map(Zeroizing::new).map_err(|_| BadKey)?;
    if key.is_empty() { Err(BadKey) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(secret: &str) -> Result<String, BadKey> {
        sign(&Secret::new(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
    }

    #[test]
    fn the_published_vector() {
        let expected = Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned());
        assert_eq!(signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        assert_eq!(signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), expected);
        assert_ne!(signed("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected, "without the prefix the text is the key");
    }

    #[test]
    fn what_is_no_base64_signs_nothing() {
        for bad in ["whsec_", "whsec_*", "whsec_a"] {
            assert_eq!(signed(bad), Err(BadKey), "{bad}");
        }
        assert_eq!(signed("whsec_aGk"), signed("whsec_aGk="));
    }
}
