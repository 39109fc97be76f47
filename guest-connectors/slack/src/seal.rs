//! A `response_url` lets whoever has it speak as the app, so it is not kept as Slack sent it: it is sealed with keys that the
//! host derives from the signing secret. Encryption in counter mode whose nonce is the code of the text (as in SIV), both by
//! HMAC-SHA256, because a connector has no other use of a secret. One text has one sealed form.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kheish_guest::secrets;

/// Bytes of the nonce, which is also the code that shows a change.
const NONCE: usize = 16;

/// The slot of the secret that Slack signs with, which keys are derived from.
pub(crate) const SIGNING_SECRET: &str = "signing_secret";

/// Makes keyed hashes without showing the key.
pub(crate) trait Keyed {
    /// HMAC-SHA256 of the message; none when there is no key.
    fn hmac(&self, message: &[u8]) -> Option<Vec<u8>>;
}

/// Keyed with the connector's signing secret.
pub(crate) struct SigningSecret;

impl Keyed for SigningSecret {
    fn hmac(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(secrets::open(SIGNING_SECRET)?.sign_hmac(secrets::Hash::Sha256, message))
    }
}

/// Seals a text; none when there is no key.
pub(crate) fn seal(key: &dyn Keyed, plain: &str) -> Option<String> {
    let nonce = nonce(key, plain.as_bytes())?;
    let mut sealed = nonce.clone();
    sealed.extend(stream(key, &nonce, plain.as_bytes())?);
    Some(URL_SAFE_NO_PAD.encode(sealed))
}

/// Opens what [`seal`] made; none when it was changed, or sealed with another key.
pub(crate) fn open(key: &dyn Keyed, sealed: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (own, hidden) = bytes.split_at_checked(NONCE)?;
    let plain = stream(key, own, hidden)?;
    (nonce(key, &plain)? == own).then(|| String::from_utf8(plain).ok())?
}

fn nonce(key: &dyn Keyed, plain: &[u8]) -> Option<Vec<u8>> {
    // The prefix sets these apart from everything that Slack signs, which begins with `v0:`.
    let mut code = key.hmac(&[b"kheish-seal:code:", plain].concat())?;
    code.truncate(NONCE);
    Some(code)
}

fn stream(key: &dyn Keyed, nonce: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for (index, block) in text.chunks(32).enumerate() {
        let pad = key.hmac(&[b"kheish-seal:stream:", nonce, &index.to_be_bytes()].concat())?;
        out.extend(block.iter().zip(pad).map(|(byte, pad)| byte ^ pad));
    }
    Some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    /// Keyed with a text of its own.
    pub(crate) struct Key(pub(crate) &'static str);

    impl Keyed for Key {
        fn hmac(&self, message: &[u8]) -> Option<Vec<u8>> {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).unwrap();
            mac.update(message);
            Some(mac.finalize().into_bytes().to_vec())
        }
    }

    /// Without a key.
    pub(crate) struct Keyless;

    impl Keyed for Keyless {
        fn hmac(&self, _message: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_with_its_own_key_only(text in ".{0,200}", at in any::<prop::sample::Index>()) {
            let sealed = seal(&Key("one"), &text).unwrap();
            prop_assert_eq!(open(&Key("one"), &sealed), Some(text.clone()));
            prop_assert_eq!(&seal(&Key("one"), &text).unwrap(), &sealed);
            prop_assert_eq!(open(&Key("other"), &sealed), None);
            let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert_eq!(open(&Key("one"), &URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn anything_can_be_tried(text in ".{0,60}") {
            prop_assert_eq!(open(&Key("one"), &text), None);
        }
    }

    #[test]
    fn without_a_key_nothing_is_sealed() {
        assert_eq!(seal(&Keyless, "https://hooks.slack.com/commands/1"), None);
        assert!(!seal(&Key("k"), "https://hooks.slack.com/commands/1").unwrap().contains("hooks"));
    }
}
