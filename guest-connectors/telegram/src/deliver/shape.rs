//! The forms that a message can have, from what is wanted to what Telegram takes.

use super::{Message, PHOTO_BYTES};
use crate::api::Refused;

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The text has marks.
    pub(super) marked: bool,
    /// It quotes what it answers.
    pub(super) quotes: bool,
    /// It goes to its topic.
    pub(super) in_topic: bool,
    /// The group was found to have moved.
    pub(super) moved: bool,
    /// What its file is sent as.
    pub(super) file_kind: FileKind,
    /// What its file was to be sent as.
    pub(super) wanted: FileKind,
}

/// What a file is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Photo,
    Audio,
    Video,
    Document,
}

impl FileKind {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Photo => "sendPhoto",
            Self::Audio => "sendAudio",
            Self::Video => "sendVideo",
            Self::Document => "sendDocument",
        }
    }

    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }

    /// What Telegram shows in place, and what it only offers to open.
    fn of(media_type: &str, size: u64) -> Self {
        match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "image/jpeg" | "image/png" | "image/webp" if size <= PHOTO_BYTES => Self::Photo,
            "audio/mpeg" | "audio/mp3" | "audio/mp4" | "audio/x-m4a" | "audio/m4a" => Self::Audio,
            "video/mp4" => Self::Video,
            _ => Self::Document,
        }
    }
}

impl Shape {
    /// The form that is wanted.
    pub(super) fn new(message: &Message<'_>) -> Self {
        let kind = message.file.map_or(FileKind::Document, |file| FileKind::of(&file.media_type, file.size));
        Self { marked: true, quotes: true, in_topic: true, moved: false, file_kind: kind, wanted: kind }
    }

    /// What Telegram did not take.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        let all = [
            ("marks", !self.marked),
            ("quote", !self.quotes),
            ("topic", !self.in_topic),
            ("file_kind", self.file_kind != self.wanted),
        ];
        all.into_iter().filter(|(_, left)| *left).map(|(name, _)| name).collect()
    }
}

/// The form to try after a refusal: the one thing that it speaks of is left out. None where that was done, or where it speaks
/// of something else.
pub(super) fn plainer(shape: &Shape, refused: &Refused) -> Option<Shape> {
    if !refused.is_bad_request() {
        return None;
    }
    let plainer = if refused.says("parse entities") || (refused.says("too long") && shape.marked) {
        Shape { marked: false, ..*shape }
    } else if refused.says("message to be replied not found") || refused.says("reply message not found") {
        Shape { quotes: false, ..*shape }
    } else if refused.says("thread not found") {
        Shape { in_topic: false, quotes: false, ..*shape }
    } else if ["photo_invalid_dimensions", "image_process_failed", "wrong type of the file", "photo_save_file_invalid"]
        .iter()
        .any(|words| refused.says(words))
    {
        Shape { file_kind: FileKind::Document, ..*shape }
    } else {
        return None;
    };
    (plainer != *shape).then_some(plainer)
}
