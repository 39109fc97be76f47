//! SHA-256 as text.

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal digits of SHA-256.
pub(crate) fn hex(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text shaped like a random UUID, made of SHA-256: the same for the same text.
pub(crate) fn uuid(text: &str) -> String {
    let mut digits = hex(text.as_bytes());
    digits.truncate(32);
    // The version of random ones, and their variant.
    digits.replace_range(12..13, "4");
    digits.replace_range(16..17, "8");
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_uuid() {
        assert!(hex(b"").starts_with("e3b0c442"));
        let id = uuid("slack-delivery:kheish:delivery_1");
        assert_eq!(id, uuid("slack-delivery:kheish:delivery_1"));
        assert_ne!(id, uuid("slack-delivery:kheish:delivery_2"));
        assert_eq!((id.len(), &id[14..15], id.matches('-').count()), (36, "4", 4));
    }
}
