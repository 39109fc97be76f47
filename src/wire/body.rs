//! Reading a JSON body strictly: what is wrong is told with its place in the body, and a name that nobody knows with the
//! one that may have been meant.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::problem::{FieldError, Problem};
use crate::{nearest::suggestion, secrets::mask::mask};

/// The most characters of a refusal that repeats what the caller sent.
const DETAIL_CHARS: usize = 300;

/// Reads `bytes` as one JSON value. What does not fit is 400 `invalid_payload`, with its place as a JSON pointer.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut pointer = pointer(error.path());
        // A type that reads all of its members first names the wrong one and not its place.
        if let Some((field, _)) = unknown(&error.inner().to_string(), "unknown field `")
            && !matches!(error.path().iter().next_back(), Some(Segment::Map { key }) if key == field)
        {
            pointer.push_str(&format!("/{}", escaped(field)));
        }
        refusal(pointer, error.inner())
    })?;
    deserializer.end().map_err(|error| refusal(String::new(), &error))?;
    Ok(value)
}

fn refusal(pointer: String, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        let detail = format!("the body is not JSON: {error}");
        return Problem::bad_request("api", "invalid_payload", shortened(&detail));
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let whole = error.to_string();
    let detail = shortened(&explained(whole.strip_suffix(&place).unwrap_or(&whole)));
    let pointer = shortened(&pointer);
    let sentence = if pointer.is_empty() { detail.clone() } else { format!("{detail}, at `{pointer}`") };
    Problem::bad_request("api", "invalid_payload", sentence).with_errors(vec![FieldError { pointer, detail }])
}

/// serde names what it knows after ``, expected``; the nearest of these is what was meant.
fn explained(message: &str) -> String {
    let found = ["unknown field `", "unknown variant `"].iter().find_map(|start| unknown(message, start));
    let Some((written, known)) = found else {
        return message.to_owned();
    };
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let noun = if message.starts_with("unknown field") { "field" } else { "variant" };
    match suggestion(written, names.iter().copied()).as_str() {
        "" => format!("unknown {noun} `{}`, expected {known}", shortened(written)),
        meant => format!("unknown {noun} `{written}`{meant}"),
    }
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let segment = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escaped(key),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&segment);
    }
    pointer
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What was written, and what is known.
fn unknown<'m>(message: &'m str, start: &str) -> Option<(&'m str, &'m str)> {
    message.strip_prefix(start)?.rsplit_once("`, expected ")
}

/// Masked first: half of a secret would not be found again.
fn shortened(text: &str) -> String {
    let text = &*mask(text);
    match text.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "content")]
        _content: String,
        #[serde(default, rename = "a/b~")]
        _inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "kind")]
        _kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Text,
        File,
    }

    fn refused(body: &str) -> (String, String) {
        let problem = read::<Outer>(body.as_bytes()).unwrap_err();
        match problem.errors() {
            [only] => (only.pointer.clone(), only.detail.clone()),
            others => panic!("{others:?}"),
        }
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let inner =
            |value: serde_json::Value| json!({ "content": "", "a/b~": [{ "kind": "file" }, value] }).to_string();
        assert_eq!(refused(&inner(json!({ "kind": "txt" }))).0, "/a~1b~0/1/kind");
        assert_eq!(refused(&inner(json!({ "kind": "txt" }))).1, "unknown variant `txt` (did you mean `text`?)");
        assert_eq!(refused(&inner(json!(3))).0, "/a~1b~0/1");
        assert_eq!(refused(r#"{"content": 3}"#).0, "/content");
        assert_eq!(refused("{}"), (String::new(), "missing field `content`".to_owned()));
    }

    #[test]
    fn an_unknown_field_is_told_with_what_was_meant() {
        let (pointer, detail) = refused(r#"{"contnt": ""}"#);
        assert_eq!(
            (pointer.as_str(), detail.as_str()),
            ("/contnt", "unknown field `contnt` (did you mean `content`?)")
        );
        let (_, detail) = refused(r#"{"colour": ""}"#);
        assert_eq!(detail, "unknown field `colour`, expected `content` or `a/b~`");
        let (_, detail) = refused(r#"{"x`, expected `y": ""}"#);
        assert!(detail.ends_with("expected `content` or `a/b~`"), "{detail}");
    }

    #[test]
    fn a_refusal_does_not_repeat_all_that_was_sent() {
        let (pointer, detail) = refused(&json!({ "k".repeat(10_000): "" }).to_string());
        assert!(pointer.chars().count() <= DETAIL_CHARS + 1 && detail.chars().count() <= DETAIL_CHARS + 1);
    }

    #[test]
    fn what_is_no_json_or_goes_on_after_it_is_refused() {
        for body in ["", "{", r#"{"content": ""} {}"#, "\u{feff}{}"] {
            assert!(read::<Outer>(body.as_bytes()).unwrap_err().errors().is_empty(), "{body:?}");
        }
        assert!(read::<Outer>(br#"{"content": "", "content": ""}"#).is_err());
        assert!(read::<Outer>(br#"{"content": "", "a/b~": []} "#).is_ok());
    }
}
