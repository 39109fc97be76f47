//! Files that outputs take along.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most files of one output.
pub const MAX_ARTIFACTS: usize = 32;

/// The most bytes of a name and of a media type.
const MAX_BYTES: usize = 255;

/// The media type of files of which nothing is known.
pub const ANY_TYPE: &str = "application/octet-stream";

/// What a file is called whose name says nothing.
const NAMELESS: &str = "file";

/// A file that an executor wants to go out with an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactReference {
    /// The asset, which exists.
    pub asset_id: String,
    /// What it is called; as the run's event called it when absent, else as it was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Its media type; as the run's event said when absent, else as it was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 255)]
    pub media_type: Option<String>,
}

/// A file that goes out with an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its id.
    pub asset_id: String,
    /// Its name; its id where nobody named it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size, in bytes.
    pub size: u64,
}

impl ArtifactReference {
    /// What goes out, where `kept` is known of the file.
    pub fn resolve(&self, kept: &Artifact) -> Artifact {
        let mut artifact = kept.clone();
        artifact.name = self.name.clone().unwrap_or(artifact.name);
        artifact.media_type = self.media_type.clone().unwrap_or(artifact.media_type);
        artifact
    }

    /// Whether its own words can stand where names and types stand. The error names the member and says what was expected.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        check_name(self.name.as_deref()).map_err(|expected| ("name", expected))?;
        check_media_type(self.media_type.as_deref()).map_err(|expected| ("media_type", expected))
    }
}

/// Whether a file can be called so. The error says what was expected.
pub fn check_name(name: Option<&str>) -> Result<(), &'static str> {
    let is_good = |name: &str| (1..=MAX_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    if name.is_none_or(is_good) { Ok(()) } else { Err("1 to 255 bytes without control characters") }
}

/// What a file can be called that its sender calls so: control characters become spaces, what is too long is cut, and a file
/// without a name is called `file`.
pub fn clean_name(name: &str) -> String {
    let plain: String = name.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let name = plain.trim();
    let name = name[..name.floor_char_boundary(MAX_BYTES)].trim_end();
    if name.is_empty() { NAMELESS.to_owned() } else { name.to_owned() }
}

/// What a file is that its sender calls so; anything, where that is no media type.
pub fn clean_media_type(media_type: &str) -> &str {
    if check_media_type(Some(media_type)).is_ok() { media_type } else { ANY_TYPE }
}

/// Whether a media type can stand in a header. The error says what was expected.
pub fn check_media_type(media_type: Option<&str>) -> Result<(), &'static str> {
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_good =
        |text: &str| text.len() <= MAX_BYTES && text.split_once('/').is_some_and(|(a, b)| is_plain(a) && is_plain(b));
    if media_type.is_none_or(is_good) { Ok(()) } else { Err("type/subtype, printable ASCII, at most 255 bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_can_stand_in_headers() {
        let longest = "a".repeat(255);
        for name in ["a", "Bericht über alles.pdf", &longest] {
            assert!(check_name(Some(name)).is_ok(), "{name}");
        }
        for name in ["", "a\r\nb", "a\u{85}", &"a".repeat(256)] {
            assert!(check_name(Some(name)).is_err(), "{name}");
        }
        for (name, clean) in
            [("a photo\nof\tus", "a photo of us"), ("\r\n", "file"), ("", "file"), (&"ü".repeat(200), &"ü".repeat(127))]
        {
            assert_eq!(clean_name(name), clean);
        }
        for good in ["text/plain", "text/plain; charset=utf-8", "application/vnd.a+json"] {
            assert!(check_media_type(Some(good)).is_ok() && clean_media_type(good) == good, "{good}");
        }
        for bad in ["", "text", "/", "text/", "/plain", "text/pl\nain", "text/ü"] {
            assert!(check_media_type(Some(bad)).is_err() && clean_media_type(bad) == ANY_TYPE, "{bad}");
        }
    }
}
