//! What a method is given: in the query, as JSON, as a form, or as a form with files. Values are JSON where they can be.

use bytes::Bytes;
use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::state::No;

/// A file that was sent along.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// What a method is given.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    values: Map<String, Value>,
    uploads: Vec<(String, Upload)>,
}

impl Params {
    /// Reads everything that a request says, the query first.
    pub(super) fn read(head: &Parts, body: &Bytes) -> Self {
        let mut params = Self::default();
        params.add_form(head.uri.query().unwrap_or_default());
        let kind = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some((_, boundary)) = kind.split_once("boundary=") {
            params.add_multipart(body, boundary.trim_matches('"'));
        } else if kind.starts_with("application/json") {
            if let Ok(Value::Object(values)) = serde_json::from_slice(body) {
                params.values.extend(values);
            }
        } else {
            params.add_form(&String::from_utf8_lossy(body));
        }
        params
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text == "true" || text == "1")
    }

    /// A value that is JSON, also where it came as text.
    pub(super) fn json(&self, name: &str) -> Option<Value> {
        match self.values.get(name)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            other => Some(other.clone()),
        }
    }

    pub(super) fn need_text(&self, name: &str) -> Result<String, No> {
        self.text(name).ok_or_else(|| No::bad(&format!("{name} is empty")))
    }

    pub(super) fn upload(&self, name: &str) -> Option<&Upload> {
        // A value can name the part that holds the file.
        let attached = self.text(name).and_then(|text| text.strip_prefix("attach://").map(str::to_owned));
        let wanted = attached.as_deref().unwrap_or(name);
        self.uploads.iter().find(|(part, _)| part == wanted).map(|(_, upload)| upload)
    }

    /// For the log: everything but the bytes of files.
    pub(super) fn logged(&self) -> Value {
        let mut values = self.values.clone();
        let uploads = self.uploads.iter();
        values.extend(uploads.map(|(part, upload)| {
            (part.clone(), serde_json::json!({ "file_name": upload.name, "size": upload.bytes.len() }))
        }));
        Value::Object(values)
    }

    fn add_form(&mut self, form: &str) {
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.values.insert(decoded(name), Value::String(decoded(value)));
        }
    }

    fn add_multipart(&mut self, body: &[u8], boundary: &str) {
        let mark = format!("\r\n--{boundary}");
        // The first mark has no line end before it.
        let whole = [b"\r\n", body].concat();
        for part in split(&whole, mark.as_bytes()).into_iter().skip(1) {
            let Some(end) = find(part, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&part[..end]).into_owned();
            let content = &part[end + 4..];
            let Some(name) = attribute(&head, "name") else { continue };
            match attribute(&head, "filename") {
                Some(file) => {
                    let upload = Upload { name: file, bytes: Bytes::copy_from_slice(content) };
                    self.uploads.push((name, upload));
                }
                None => {
                    self.values.insert(name, Value::String(String::from_utf8_lossy(content).into_owned()));
                }
            }
        }
    }
}

fn attribute(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_lowercase().starts_with("content-disposition:"))?;
    let value = line.split(';').map(str::trim).find_map(|piece| piece.strip_prefix(&format!("{name}=")))?;
    Some(value.trim_matches('"').to_owned())
}

fn split<'b>(bytes: &'b [u8], mark: &[u8]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = find(rest, mark) {
        pieces.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    pieces.push(rest);
    pieces
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // Files are large: look for the first byte before the rest is compared.
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Text as it was before it was percent-encoded.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
