//! Values to search for, and the book of everything that was seen.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use kheish_host_tests::{client::Answer, host::Host};

/// Where secrets are.
const PLACES: [&str; 13] = [
    "admin",
    "reader",
    "file-bearer",
    "file-hmac",
    "file-env",
    "team",
    "team-later",
    "api-bearer",
    "api-hmac",
    "api-named",
    "api-env",
    "gone",
    "slot",
];

/// The file that may hold the master key.
const KEY_FILE: &str = "master.key";

/// Values that are like nothing else, by the place where they are secrets.
pub(super) struct Canaries {
    texts: BTreeMap<&'static str, String>,
    keys: Vec<Vec<u8>>,
}

impl Canaries {
    pub(super) fn new() -> Self {
        let value = |place: &'static str| {
            let random = RandomState::new();
            (place, format!("canary-{:016x}{:016x}", random.hash_one(place), random.hash_one("more")))
        };
        Self { texts: PLACES.into_iter().map(value).collect(), keys: Vec::new() }
    }

    /// The value for a place.
    pub(super) fn of(&self, place: &str) -> &str {
        &self.texts[place]
    }

    /// Every value that is a text, but for those of these places.
    pub(super) fn texts_but(&self, left_out: &[&str]) -> impl Iterator<Item = &str> {
        self.texts.iter().filter(|(place, _)| !left_out.contains(place)).map(|(_, text)| text.as_str())
    }

    /// Every value that is a text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.values().map(String::as_str)
    }

    /// A new master key.
    pub(super) fn add_key(&mut self) -> Vec<u8> {
        let words = (0..4).flat_map(|word| RandomState::new().hash_one(word).to_be_bytes());
        let key: Vec<u8> = words.collect();
        self.keys.push(key.clone());
        key
    }

    /// Searches for the master key in this file too.
    pub(super) fn keep_key(&mut self, text: &str) {
        self.keys.push(BASE64_STANDARD.decode(text.trim_end()).unwrap());
    }

    /// Every form of every value, each with the name of what it is.
    fn forms(&self) -> Vec<(String, String)> {
        let keys = self.keys.iter().enumerate().map(|(number, key)| (format!("master key {number}"), key.as_slice()));
        let texts = self.texts.iter().map(|(place, text)| ((*place).to_owned(), text.as_bytes()));
        texts.chain(keys).flat_map(|(name, value)| forms(value).map(move |form| (name.clone(), form))).collect()
    }
}

/// A value as it is, in hexadecimal, and in base64 wherever it stands in what was encoded.
fn forms(value: &[u8]) -> impl Iterator<Item = String> {
    let inner = (0..3).map(|before| {
        // The letters at the ends depend on the neighbours too.
        let text = BASE64_STANDARD.encode([&vec![0; before], value].concat());
        text[if before == 0 { 0 } else { 4 }..text.len() - 4].to_owned()
    });
    let plain = [letters(value), hex::encode(value), hex::encode_upper(value)];
    let standard: Vec<String> = inner.collect();
    let for_addresses = standard.clone().into_iter().map(|text| text.replace('+', "-").replace('/', "_"));
    let mut all: Vec<String> = plain.into_iter().chain(standard).chain(for_addresses).collect();
    all.sort();
    all.dedup();
    all.into_iter()
}

/// A letter for each byte, so that bytes can be searched as a text.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Everything that the daemon said or kept.
#[derive(Default)]
pub(super) struct Book(Vec<(String, Vec<u8>)>);

impl Book {
    pub(super) fn note(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), bytes.as_ref().to_vec()));
    }

    /// Notes an answer, its headers too, and gives it back.
    pub(super) fn answer(&mut self, what: &str, answer: Answer) -> Answer {
        let headers =
            answer.headers.iter().map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
        let head = headers.collect::<Vec<_>>().join(&b'\n');
        self.note(&format!("{what}, {}", answer.status), [head.as_slice(), b"\n\n", &answer.body].concat());
        answer
    }

    /// Notes the log and every file of the state folder, below it too.
    pub(super) fn host(&mut self, when: &str, host: &Host) {
        self.note(&format!("the log {when}"), host.log());
        let before = self.0.len();
        self.folder(when, &host.state_folder());
        assert!(self.0.len() - before > 3, "there was nothing to look at");
    }

    fn folder(&mut self, when: &str, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.folder(when, &path);
            } else if !path.ends_with(KEY_FILE) {
                self.note(&format!("`{}` {when}", path.display()), fs::read(&path).unwrap());
            }
        }
    }

    /// Whether a text was seen.
    pub(super) fn says(&self, text: &str) -> bool {
        self.0.iter().any(|(_, bytes)| letters(bytes).contains(text))
    }

    /// Where something was found that should not be there, with what stands around it.
    pub(super) fn leaks(&self, canaries: &Canaries) -> Vec<String> {
        let forms = canaries.forms();
        let mut leaks = Vec::new();
        for (what, bytes) in &self.0 {
            let text = letters(bytes);
            for (name, form) in &forms {
                if let Some(at) = text.find(form.as_str()) {
                    let around: String = text[..at].chars().rev().take(150).collect();
                    let around: String = around.chars().rev().collect();
                    leaks.push(format!("{name} as {form:?} in {what} after {around:?}"));
                }
            }
        }
        leaks
    }
}
