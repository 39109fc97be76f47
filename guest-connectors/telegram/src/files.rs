//! The files of a message. They stay at Telegram until the event is durable.

use kheish_guest::{RemoteFile, json};
use serde::{Deserialize, Serialize};

use crate::update::{File, Message};

/// The longest file name, in bytes.
const NAME_BYTES: usize = 200;

/// What finds a file again.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Locator {
    /// Telegram's id of the file, good for this bot only.
    pub(crate) file_id: String,
}

/// The files of a message, in no order that Telegram would promise: it has one, but for two special cases.
pub(crate) fn of(message: &Message) -> Vec<RemoteFile> {
    each(message).map(|(kind, file)| remote(kind, file)).collect()
}

/// What tells the files of a message from others.
pub(crate) fn identities(message: &Message) -> Vec<&str> {
    each(message).map(|(_, file)| file.file_unique_id.as_str()).collect()
}

fn each(message: &Message) -> impl Iterator<Item = (&'static str, &File)> {
    // Several sizes of one picture.
    let photo = message.photo.iter().max_by_key(|size| {
        let pixels = size.width.unwrap_or(0).saturating_mul(size.height.unwrap_or(0));
        (pixels, size.file_size)
    });
    // An animation comes a second time as a document, for bots that know no animations.
    let document = message.document.as_deref().filter(|_| message.animation.is_none());
    let files = [
        ("photo", photo),
        ("document", document),
        ("voice", message.voice.as_deref()),
        ("audio", message.audio.as_deref()),
        ("video", message.video.as_deref()),
        ("video-note", message.video_note.as_deref()),
        ("sticker", message.sticker.as_deref()),
        ("animation", message.animation.as_deref()),
    ];
    files.into_iter().filter_map(|(kind, file)| Some((kind, file?)))
}

fn remote(kind: &str, file: &File) -> RemoteFile {
    let (media_type, extension) = usual(kind, file);
    let media_type = file.mime_type.as_deref().or(media_type).map(str::to_owned);
    let name = file.file_name.as_deref().map(safe_name).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| match kind {
        "document" => "telegram-document.bin".to_owned(),
        _ => safe_name(&format!("telegram-{kind}-{}.{extension}", file.file_id)),
    });
    let locator = json::text(&Locator { file_id: file.file_id.clone() });
    RemoteFile { name, media_type, size: file.file_size, locator }
}

/// What files of a kind are when nobody says.
fn usual(kind: &str, file: &File) -> (Option<&'static str>, &'static str) {
    match kind {
        "photo" => (Some("image/jpeg"), "jpg"),
        "voice" => (Some("audio/ogg"), "ogg"),
        "audio" => (Some("audio/mpeg"), "mp3"),
        "video" | "video-note" | "animation" => (Some("video/mp4"), "mp4"),
        "sticker" if file.is_animated => (Some("application/x-tgsticker"), "tgs"),
        "sticker" if file.is_video => (Some("video/webm"), "webm"),
        "sticker" => (Some("image/webp"), "webp"),
        _ => (None, "bin"),
    }
}

/// A name that is one segment of a path; its end stays, because it says what the file is.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|letter| !letter.is_control()).collect();
    let plain = plain.trim().trim_start_matches('.');
    plain[plain.ceil_char_boundary(plain.len().saturating_sub(NAME_BYTES))..].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn files(message: Value) -> Vec<RemoteFile> {
        let mut whole = json!({"message_id": 1, "chat": {"id": 5, "type": "private"}});
        whole.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        of(&serde_json::from_value(whole).unwrap())
    }

    fn one(message: Value) -> (String, Option<String>, Option<u64>) {
        let mut files = files(message);
        assert_eq!(files.len(), 1);
        let file = files.remove(0);
        (file.name, file.media_type, file.size)
    }

    #[test]
    fn the_largest_picture_counts() {
        let sizes = json!([
            {"file_id": "s", "file_unique_id": "us", "width": 90, "height": 60, "file_size": 1000},
            {"file_id": "l", "file_unique_id": "ul", "width": 1280, "height": 853, "file_size": 90_000},
            {"file_id": "m", "file_unique_id": "um", "width": 320, "height": 213, "file_size": 200_000},
        ]);
        let (name, media_type, size) = one(json!({"photo": sizes}));
        assert_eq!(
            (name.as_str(), media_type.as_deref(), size),
            ("telegram-photo-l.jpg", Some("image/jpeg"), Some(90_000))
        );
    }

    #[test]
    fn every_kind_of_file_has_a_name_and_a_type() {
        for (message, name, media_type) in [
            (json!({"document": {"file_id": "d"}}), "telegram-document.bin", None),
            (
                json!({"document": {"file_id": "d", "file_name": "a.pdf", "mime_type": "application/pdf"}}),
                "a.pdf",
                Some("application/pdf"),
            ),
            (json!({"voice": {"file_id": "v", "duration": 3}}), "telegram-voice-v.ogg", Some("audio/ogg")),
            (
                json!({"audio": {"file_id": "a", "mime_type": "audio/flac", "file_name": "a.flac"}}),
                "a.flac",
                Some("audio/flac"),
            ),
            (json!({"video": {"file_id": "v"}}), "telegram-video-v.mp4", Some("video/mp4")),
            (json!({"video_note": {"file_id": "n", "length": 240}}), "telegram-video-note-n.mp4", Some("video/mp4")),
            (json!({"sticker": {"file_id": "s", "emoji": "👍"}}), "telegram-sticker-s.webp", Some("image/webp")),
            (
                json!({"sticker": {"file_id": "s", "is_animated": true}}),
                "telegram-sticker-s.tgs",
                Some("application/x-tgsticker"),
            ),
            (json!({"sticker": {"file_id": "s", "is_video": true}}), "telegram-sticker-s.webm", Some("video/webm")),
        ] {
            let (found, found_type, _) = one(message);
            assert_eq!((found.as_str(), found_type.as_deref()), (name, media_type));
        }
    }

    #[test]
    fn an_animation_is_one_file() {
        let gif = json!({"file_id": "g", "file_name": "g.mp4", "mime_type": "video/mp4"});
        assert_eq!(one(json!({"animation": gif, "document": gif})).0, "g.mp4");
    }

    proptest! {
        #[test]
        fn a_name_is_one_segment(name in "\\PC*|[a-z/\\\\.\u{0}-\u{1f}é]{0,300}") {
            let safe = safe_name(&name);
            prop_assert!(!safe.contains(['/', '\\']) && !safe.chars().any(char::is_control) && safe.len() <= NAME_BYTES);
            prop_assert!(!safe.starts_with('.') || safe.len() == NAME_BYTES);
        }
    }
}
