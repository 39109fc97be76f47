//! Bodies of type `application/x-www-form-urlencoded`.

use kheish_guest::Refusal;

/// The fields of a form, decoded.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes a body. One that is not UTF-8 is no form of Slack's.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let fields = body.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
        let pairs = fields.map(|field| {
            let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            Some((decode(&field[..at])?, decode(field.get(at + 1..).unwrap_or_default())?))
        });
        match pairs.collect() {
            Some(pairs) => Ok(Self(pairs)),
            None => super::refuse("invalid_payload", "The form is not valid: expected percent-encoded UTF-8."),
        }
    }

    /// The first field of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The same, where it says something.
    pub(super) fn filled(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// All of them.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use kheish_guest::http::encoded;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(name in "[a-z]{1,8}", value in ".{0,100}") {
            let form = Form::parse(format!("x=1&{}={}&y", encoded(&name), encoded(&value)).as_bytes()).unwrap();
            prop_assert!(name == "x" || name == "y" || form.get(&name) == Some(&value));
        }

        #[test]
        fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
            drop(Form::parse(&body));
        }
    }

    #[test]
    fn plus_is_a_space_and_damage_is_refused() {
        let form = Form::parse(b"text=a+b%2Bc&empty=&flag").unwrap();
        assert_eq!((form.get("text"), form.get("flag"), form.filled("empty")), (Some("a b+c"), Some(""), None));
        for body in ["a=%", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(Form::parse(body.as_bytes()).unwrap_err().code, "invalid_payload", "{body}");
        }
    }
}
