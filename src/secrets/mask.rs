//! Known secret values are masked in texts.
//!
//! There is one set of them in the process: what is secret anywhere must be masked everywhere, in logs, errors and answers
//! alike. Values of 6 to 4,096 bytes are masked, and what they look like as JSON, in a JSON pointer, in an address,
//! in base64 and in hexadecimal; of a text of several lines, however long it is, each line of such a length too. A value that
//! was a secret once stays one.

use std::{
    borrow::Cow,
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Secret;

mod forms;
mod index;

use forms::Parts;
use index::Index;

/// What stands in the place of a secret.
pub const MASKED: &str = "[masked]";

/// The most values that are known; for a further one the oldest goes.
const VALUES: usize = 65_536;
/// The most bytes that their forms may have together.
const BYTES: usize = 256 * 1024 * 1024;

static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

/// Masks this value from now on, in the whole process. Values that are too short or too long are passed over.
pub fn remember(secret: &Secret) {
    if KNOWN.add(secret.expose(), VALUES) {
        // Said once nothing is locked any more: what is logged is masked.
        tracing::warn!("{VALUES} secret values are known and more came: the oldest are no longer masked in texts");
    }
}

/// Whether this value is one that can be masked: it is neither too short nor too long.
pub fn covers(secret: &Secret) -> bool {
    forms::core(secret.expose()).is_some()
}

/// The text with every known value in it masked.
pub fn mask(text: &str) -> Cow<'_, str> {
    KNOWN.mask_text(text)
}

/// What is kept and shown of words that somebody else has written: known values masked, and then no more than so many
/// characters. Half of a value that was cut first would not be found again.
pub fn cut(text: &str, chars: usize) -> String {
    let mut masked = mask(text).into_owned();
    if let Some((end, _)) = masked.char_indices().nth(chars) {
        masked.truncate(end);
    }
    masked
}

/// The bytes with every known value in them masked.
pub fn mask_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    KNOWN.mask(bytes)
}

/// A set of values. Readers do not wait for one another.
#[derive(Default)]
struct Known {
    /// Whether there is a value: nothing is locked where there is none.
    any: AtomicBool,
    full: AtomicBool,
    index: RwLock<Index>,
}

impl Known {
    /// Adds a value. Says whether another one had to go for the first time.
    fn add(&self, value: &[u8], most: usize) -> bool {
        let parts = Parts::of(value);
        if self.index.read().unwrap_or_else(PoisonError::into_inner).knows(&parts) {
            return false;
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.knows(&parts) {
            return false;
        }
        index.add(&parts);
        self.any.store(true, Ordering::Release);
        let mut forgotten = false;
        while index.len() > 1 && (index.len() > most || index.bytes() > BYTES) {
            index.forget_oldest();
            forgotten = true;
        }
        forgotten && !self.full.swap(true, Ordering::Relaxed)
    }

    fn mask<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        if !self.any.load(Ordering::Acquire) {
            return Cow::Borrowed(bytes);
        }
        let found = self.index.read().unwrap_or_else(PoisonError::into_inner).find(bytes);
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len() + found.len() * MASKED.len());
        let mut from = 0;
        for range in found {
            masked.extend_from_slice(&bytes[from..range.start]);
            masked.extend_from_slice(MASKED.as_bytes());
            from = range.end;
        }
        masked.extend_from_slice(&bytes[from..]);
        Cow::Owned(masked)
    }

    fn mask_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mask(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A value that is not text can end within a letter.
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
