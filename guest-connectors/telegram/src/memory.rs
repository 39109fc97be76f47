//! What the connector remembers between calls.

use kheish_guest::key_value;

/// Small durable state; written with what becomes of the call, or not at all.
pub(crate) trait Memory {
    /// What was kept under this key.
    fn get(&self, key: &str) -> Option<String>;
    /// Keeps a value. What cannot be kept is forgotten: nothing here is more than a help.
    fn set(&self, key: &str, value: &str);
}

/// The host's.
#[derive(Debug)]
pub(crate) struct Kept;

impl Memory for Kept {
    fn get(&self, key: &str) -> Option<String> {
        String::from_utf8(key_value::get(key)?).ok()
    }

    fn set(&self, key: &str, value: &str) {
        if let Err(reason) = key_value::set(key, value.as_bytes()) {
            kheish_guest::log::warn(&format!("`{key}` is not kept: {reason}"));
        }
    }
}

#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Notes(pub(crate) std::cell::RefCell<std::collections::BTreeMap<String, String>>);

#[cfg(test)]
impl Memory for Notes {
    fn get(&self, key: &str) -> Option<String> {
        self.0.borrow().get(key).cloned()
    }

    fn set(&self, key: &str, value: &str) {
        self.0.borrow_mut().insert(key.to_owned(), value.to_owned());
    }
}
