//! What a secret may be called, and what it may be.

use crate::secrets::Secret;

/// The longest name, in bytes.
pub const NAME_BYTES: usize = 256;
/// The longest value, in bytes.
pub const VALUE_BYTES: usize = 64 * 1024;

/// Which rule a name or a value breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// No name, or nothing but white space.
    #[error("a secret's name must not be empty or blank")]
    BlankName,
    /// More bytes than [`NAME_BYTES`].
    #[error("a secret's name has at most {NAME_BYTES} bytes, and this one has {0}")]
    LongName(usize),
    /// A control character in the name.
    #[error("a secret's name must not have control characters, such as tabs or line ends")]
    ControlInName,
    /// No value, or nothing but white space.
    #[error("the value of secret `{0}` must not be empty or blank: delete the secret to unset it")]
    BlankValue(String),
    /// More bytes than [`VALUE_BYTES`].
    #[error("the value of secret `{name}` has at most {VALUE_BYTES} bytes, and this one has {bytes}")]
    LongValue {
        /// The secret's name.
        name: String,
        /// How many it has.
        bytes: usize,
    },
}

/// Whether a secret may have this name.
pub fn name(name: &str) -> Result<(), InvalidSecret> {
    if name.trim().is_empty() {
        return Err(InvalidSecret::BlankName);
    }
    if name.len() > NAME_BYTES {
        return Err(InvalidSecret::LongName(name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err(InvalidSecret::ControlInName);
    }
    Ok(())
}

/// Whether the secret `name` may have this value.
pub fn value(name: &str, secret: &Secret) -> Result<(), InvalidSecret> {
    let value = secret.expose();
    if value.trim_ascii().is_empty() {
        return Err(InvalidSecret::BlankValue(name.to_owned()));
    }
    if value.len() > VALUE_BYTES {
        return Err(InvalidSecret::LongValue { name: name.to_owned(), bytes: value.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_keep_their_rules() {
        assert_eq!(name("slack/bot token:é"), Ok(()));
        assert_eq!(name(&"x".repeat(NAME_BYTES)), Ok(()));
        assert_eq!(name(&"x".repeat(NAME_BYTES + 1)), Err(InvalidSecret::LongName(NAME_BYTES + 1)));
        for blank in ["", " ", "\u{a0}\t"] {
            assert_eq!(name(blank), Err(InvalidSecret::BlankName), "{blank:?}");
        }
        for control in ["a\nb", "a\0", "\u{85}a"] {
            assert_eq!(name(control), Err(InvalidSecret::ControlInName), "{control:?}");
        }
        let check = |bytes: &[u8]| value("n", &Secret::new(bytes));
        assert_eq!(check(b"x"), Ok(()));
        assert_eq!(check(&[0xff; VALUE_BYTES]), Ok(()));
        assert_eq!(check(b" \r\n"), Err(InvalidSecret::BlankValue("n".to_owned())));
        let long = InvalidSecret::LongValue { name: "n".to_owned(), bytes: VALUE_BYTES + 1 };
        assert_eq!(check(&[b'x'; VALUE_BYTES + 1]), Err(long));
    }
}
