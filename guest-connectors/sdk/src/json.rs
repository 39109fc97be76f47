//! JSON in and out.

use serde::{Serialize, de::DeserializeOwned};

use crate::Refusal;

/// Decodes a body that must be one JSON object. What is wrong, and where, is told to the caller: status 400, code
/// `invalid_payload`.
pub fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // Serde would also fill a struct from an array.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(invalid("The body is not a JSON object: send one."));
    }
    serde_json::from_slice(body).map_err(|error| invalid(format!("The body is not a valid payload: {error}.")))
}

/// Compact JSON text.
///
/// # Panics
///
/// When `value` cannot be JSON: a map has keys that are not text, or its own `Serialize` fails.
pub fn text<T: Serialize>(value: &T) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => panic!("a value cannot be written as JSON: {error}"),
    }
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::bad_request("invalid_payload", reason)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn refused(body: &[u8]) -> Refusal {
        object::<Map<String, Value>>(body).unwrap_err()
    }

    #[test]
    fn an_object_is_decoded_and_anything_else_refused() {
        assert_eq!(object::<Map<String, Value>>(b" {\"a\":1}").unwrap()["a"], 1);
        for body in [&b"[1]"[..], b"", b"  ", b"{", b"{} x", b"\xff"] {
            assert_eq!((refused(body).status, refused(body).code.as_str()), (400, "invalid_payload"));
        }
    }

    #[test]
    fn the_caller_hears_where_it_went_wrong() {
        assert!(refused(b"{\n\"a\": nope}").reason.contains("line 2"), "{}", refused(b"{\n\"a\": nope}").reason);
    }
}
