//! The forms in which a value shows up in texts.

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

/// The shortest value that is masked, in bytes: shorter ones are words of ordinary texts.
pub(super) const SHORTEST: usize = 6;
/// The longest, in bytes.
pub(super) const LONGEST: usize = 4096;

/// Bytes that are wiped when dropped.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// The part of a value that is looked for: white space around a text is often lost on the way, while bytes are a key, and
/// all of them count. Nothing where the value is too short or too long to be masked.
pub(super) fn core(value: &[u8]) -> Option<&[u8]> {
    let trimmed = if str::from_utf8(value).is_ok() { value.trim_ascii() } else { value };
    let core = if trimmed.len() < SHORTEST { value } else { trimmed };
    (SHORTEST..=LONGEST).contains(&core.len()).then_some(core)
}

/// What is looked for of a value.
pub(super) struct Parts<'v> {
    /// All of it, as [`core()`] has it.
    pub(super) whole: Option<&'v [u8]>,
    /// Its lines, where it is a text of several; each once.
    pub(super) lines: Vec<&'v [u8]>,
}

impl<'v> Parts<'v> {
    pub(super) fn of(value: &'v [u8]) -> Self {
        let mut lines = lines(value);
        lines.sort_unstable();
        lines.dedup();
        Self { whole: core(value), lines }
    }
}

/// The lines of a text that has several, each as [`core()`] has it: whoever prints a key prints it line by line. Where lines
/// end is written `\n` in JSON and in environments. What stands around a PEM block is no secret, and the same for everybody.
fn lines(value: &[u8]) -> Vec<&[u8]> {
    let Ok(text) = str::from_utf8(value) else { return Vec::new() };
    if !text.trim_ascii().contains('\n') && !text.contains("\\n") {
        return Vec::new();
    }
    let boundary = |line: &&str| line.starts_with("-----") && line.ends_with("-----");
    let lines = text.lines().flat_map(|line| line.split("\\n")).map(str::trim_ascii);
    lines.filter(|line| !boundary(line)).filter_map(|line| core(line.as_bytes())).collect()
}

/// A value as it is, as JSON, in an address, in base64, in hexadecimal and in a JSON pointer; each once, the value itself
/// first.
pub(super) fn of(value: &[u8]) -> Vec<Bytes> {
    let mut forms = vec![Bytes::new(value.to_vec())];
    let hex = Some(Bytes::new(hex::encode(value).into_bytes()));
    let written = [json(value), percent(value), base64(value), hex, pointer(value)];
    let parts = (0..3).map(|before| base64_within(value, before));
    for form in written.into_iter().flatten().chain(parts) {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

/// Inside the quotes of a JSON string.
fn json(value: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(value).ok()?;
    let quoted = Bytes::new(serde_json::to_vec(text).ok()?);
    Some(Bytes::new(quoted[1..quoted.len() - 1].to_vec()))
}

/// In an address: all but the letters that need no escape anywhere.
fn percent(value: &[u8]) -> Option<Bytes> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Bytes::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            text.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    Some(text)
}

/// In a JSON pointer (RFC 6901), which names the members that are wrong.
fn pointer(value: &[u8]) -> Option<Bytes> {
    let mut text = Bytes::new(Vec::with_capacity(value.len() * 2));
    for byte in value {
        match byte {
            b'~' => text.extend_from_slice(b"~0"),
            b'/' => text.extend_from_slice(b"~1"),
            _ => text.push(*byte),
        }
    }
    Some(text)
}

fn base64(value: &[u8]) -> Option<Bytes> {
    Some(Bytes::new(BASE64_STANDARD.encode(value).into_bytes()))
}

/// What base64 always says of a value that stands within something longer, after `before` bytes of a group of three: as
/// a password does in the header of basic authentication.
fn base64_within(value: &[u8], before: usize) -> Bytes {
    let longer = Bytes::new([&[0; 2][..before], value].concat());
    let text = Bytes::new(BASE64_STANDARD.encode(&*longer).into_bytes());
    let (first, last) = ((before * 8).div_ceil(6), longer.len() * 8 / 6);
    Bytes::new(text[first..last].to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn base64_of_something_longer_has_one_of_the_parts(
            before in proptest::collection::vec(any::<u8>(), 0..9),
            value in proptest::collection::vec(any::<u8>(), SHORTEST..50),
            after in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let text = BASE64_STANDARD.encode([&before[..], &value, &after].concat());
            let part = base64_within(&value, before.len() % 3);
            prop_assert!(part.len() >= SHORTEST);
            prop_assert!(text.contains(std::str::from_utf8(&part).unwrap()));
        }
    }

    #[test]
    fn lines_are_those_that_are_long_enough() {
        let lines = |value: &str| {
            let lines = super::lines(value.as_bytes());
            lines.into_iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        let key =
            "-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADAN\r\n  kqhkiG9w \r\nshort\r\n-----END PRIVATE KEY-----\r\n";
        assert_eq!(lines(key), ["MIIEvQIBADAN", "kqhkiG9w"]);
        assert_eq!(lines("-----BEGIN KEY-----\\nMIIEvQIBADAN\\n-----END KEY-----"), ["MIIEvQIBADAN"]);
        assert!(lines("a-single-line\n").is_empty());
        assert!(super::lines(b"no\ntext-at-all\xff").is_empty());
        assert_eq!(lines(&format!("{}\n{}", "x".repeat(LONGEST), "y".repeat(LONGEST + 1))), ["x".repeat(LONGEST)]);
    }

    #[test]
    fn forms_are_as_others_write_them() {
        let texts: Vec<String> =
            of(b"p\"/ +\xc3\xa9").iter().map(|form| String::from_utf8(form.to_vec()).unwrap()).collect();
        let expected = ["p\"/ +é", "p\\\"/ +é", "p%22%2F%20%2B%C3%A9", "cCIvICvDqQ==", "70222f202bc3a9", "p\"~1 +é"];
        assert_eq!(texts[..6], expected);
        // Without special letters it is the same in three forms, and without padding base64 is one of its parts.
        assert_eq!(of(b"abcdef").len(), 5);
    }
}
