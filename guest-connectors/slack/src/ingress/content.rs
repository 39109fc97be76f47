//! What a run gets to see: files, and metadata within the host's limit.

use kheish_guest::{InputPart, RemoteFile, json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Size of metadata that the host takes, with room for what it adds itself.
const MAX_METADATA: usize = 60 * 1024;

/// Files of one message; Slack's own clients attach ten.
const MAX_FILES: usize = 32;

/// A file that Slack holds.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct File {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    mimetype: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    file_access: Option<String>,
    #[serde(default)]
    url_private: Option<String>,
    #[serde(default)]
    url_private_download: Option<String>,
}

/// How a file is found again when it is fetched.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Locator {
    /// Its id.
    pub(crate) file_id: String,
    /// The workspace whose token reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team_id: Option<String>,
    /// Where its bytes are; Slack has to be asked when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Why there is nothing to fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<String>,
    /// Its media type, by which a page that asks to log in is told apart from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
}

/// The text and the files of a message, as a run's input. There is always something.
pub(super) fn input(text: &str, files: &[File], team: Option<&str>) -> Vec<InputPart> {
    let mut parts = Vec::with_capacity(1 + files.len());
    if !text.is_empty() || files.is_empty() {
        parts.push(InputPart::text(text));
    }
    parts.extend(files.iter().take(MAX_FILES).map(|file| InputPart::RemoteFile(remote(file.clone(), team))));
    parts
}

fn remote(file: File, team: Option<&str>) -> RemoteFile {
    let File { id, name, title, mimetype, size, mode, file_access, url_private, url_private_download } = file;
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let gone = mode.filter(|mode| ["tombstone", "hidden_by_limit", "external"].contains(&mode.as_str()));
    let ask = file_access.as_deref() == Some("check_file_info");
    let media_type = filled(mimetype);
    let locator = Locator {
        url: filled(url_private_download).or(filled(url_private)).filter(|_| !ask && gone.is_none()),
        file_id: id.clone(),
        team_id: team.map(str::to_owned),
        gone,
        media_type: media_type.clone(),
    };
    RemoteFile {
        name: filled(name).or(filled(title)).unwrap_or_else(|| format!("slack-file-{id}")),
        media_type,
        size,
        locator: json::text(&locator),
    }
}

/// Metadata as text: the whole when the host takes that much, else without what a message is drawn with and what the input
/// has anyway.
pub(super) fn metadata<T: Serialize>(whole: &T) -> String {
    let text = json::text(whole);
    if text.len() <= MAX_METADATA {
        return text;
    }
    let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
    slim(&mut value);
    value["truncated"] = true.into();
    let text = value.to_string();
    if text.len() <= MAX_METADATA { text } else { json!({"truncated": true}).to_string() }
}

fn slim(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !["blocks", "attachments", "files", "text", "state"].contains(&name.as_str()));
            members.values_mut().for_each(slim);
        }
        Value::Array(items) => items.iter_mut().for_each(slim),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_too_large_loses_what_it_can_do_without() {
        let whole = json!({"event_id": "Ev1", "event": {"ts": "1.2", "text": "x".repeat(MAX_METADATA)}});
        assert_eq!(metadata(&whole), r#"{"event":{"ts":"1.2"},"event_id":"Ev1","truncated":true}"#);
        let stubborn = json!({"event": {"other": "x".repeat(MAX_METADATA)}});
        assert_eq!(metadata(&stubborn), r#"{"truncated":true}"#);
        assert_eq!(metadata(&json!({"a": 1})), r#"{"a":1}"#);
    }

    #[test]
    fn a_file_says_how_it_is_found_again() {
        let locator = |file: Value| -> Locator {
            let file = serde_json::from_value(file).unwrap();
            serde_json::from_str(&remote(file, Some("T1")).locator).unwrap()
        };
        let plain = json!({"id": "F1", "name": "a.pdf", "mimetype": "application/pdf", "url_private": "https://files.slack.com/a",
            "url_private_download": "https://files.slack.com/a/download"});
        let found = locator(plain.clone());
        assert_eq!(found.url.as_deref(), Some("https://files.slack.com/a/download"));
        assert_eq!((found.file_id.as_str(), found.team_id.as_deref(), found.gone), ("F1", Some("T1"), None));
        for (field, value) in [("mode", "external"), ("mode", "tombstone"), ("file_access", "check_file_info")] {
            let mut file = plain.clone();
            file[field] = value.into();
            let found = locator(file);
            assert_eq!((found.url, found.gone.is_some()), (None, field == "mode"), "{value}");
        }
    }
}
