//! What the connector remembers between calls, behind a seam for tests.

use kheish_guest::key_value;

/// Small durable state. What is written is committed with the result of the call.
pub(crate) trait State {
    /// The text under a key.
    fn get(&self, key: &str) -> Option<String>;
    /// Writes it.
    fn set(&self, key: &str, value: &str);
    /// Forgets it.
    fn delete(&self, key: &str);
}

/// The host's.
pub(crate) struct Kept;

impl State for Kept {
    fn get(&self, key: &str) -> Option<String> {
        key_value::get(key).and_then(|value| String::from_utf8(value).ok())
    }

    fn set(&self, key: &str, value: &str) {
        if let Err(reason) = key_value::set(key, value.as_bytes()) {
            // Nothing may go out that would not be remembered.
            panic!("{key} cannot be written: {reason}");
        }
    }

    fn delete(&self, key: &str) {
        key_value::delete(key);
    }
}
