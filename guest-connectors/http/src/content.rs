//! Content: text and files, within the contract's limits.

use base64::{Engine, engine::general_purpose::STANDARD};
use kheish_guest::{InlineFile, InputPart, Refusal};

use crate::payload::{Attachment, InlineAsset, InputItem, Payload};

const MAX_TEXT_BYTES: usize = 1024 * 1024;
const MAX_ITEMS: usize = 64;
const MAX_ATTACHMENTS: usize = 10;
const MAX_FILE_BYTES: usize = 1024 * 1024;
const MAX_NAME_BYTES: usize = 255;

/// Checks what can be said before any file is decoded.
pub(crate) fn check(payload: &Payload) -> Result<(), Refusal> {
    let Payload { content, input_items, attachments, .. } = payload;
    let texts = input_items.iter().map(|item| match item {
        InputItem::Text { text } => Some(text.len()),
        _ => None,
    });
    let only_blank_items = texts.clone().all(|text| text == Some(0));
    let has_plain = !content.is_empty() || !attachments.is_empty();
    if !input_items.is_empty() && has_plain {
        return refuse(
            "conflicting_content",
            "input_items stand alone: send them, or content with attachments, not both.",
        );
    }
    if !has_plain && only_blank_items {
        return refuse("empty_content", "The event has no content: send content, attachments or input_items.");
    }
    if content.len() + texts.flatten().sum::<usize>() > MAX_TEXT_BYTES {
        return refuse(
            "content_too_large",
            format!("The text takes more than {MAX_TEXT_BYTES} bytes: send less, or a file."),
        );
    }
    if input_items.len() > MAX_ITEMS {
        return refuse("too_many_input_items", format!("The event has more than {MAX_ITEMS} input_items: send fewer."));
    }
    if attachments.len() > MAX_ATTACHMENTS {
        return refuse(
            "too_many_attachments",
            format!("The event has more than {MAX_ATTACHMENTS} attachments: send fewer."),
        );
    }
    Ok(())
}

/// The event's input, in order.
pub(crate) fn parts(payload: Payload) -> Result<Vec<InputPart>, Refusal> {
    if !payload.input_items.is_empty() {
        return payload.input_items.into_iter().map(item).collect();
    }
    let text = (!payload.content.is_empty()).then_some(Ok(InputPart::Text(payload.content)));
    text.into_iter().chain(payload.attachments.into_iter().map(attachment)).collect()
}

fn item(item: InputItem) -> Result<InputPart, Refusal> {
    match item {
        InputItem::Text { text } => Ok(InputPart::Text(text)),
        InputItem::AssetReference { asset_id } => Ok(InputPart::Asset(asset_id)),
        InputItem::InlineAsset(file) => inline(file),
        InputItem::BoardReference { .. } => refuse(
            "unsupported_input",
            "This host has no boards: send what the board says instead of a board_reference.",
        ),
    }
}

fn attachment(attachment: Attachment) -> Result<InputPart, Refusal> {
    match attachment {
        Attachment::AssetReference { asset_id } => Ok(InputPart::Asset(asset_id)),
        Attachment::InlineAsset(file) => inline(file),
    }
}

fn inline(file: InlineAsset) -> Result<InputPart, Refusal> {
    let InlineAsset { content_base64, file_name: name, media_type } = file;
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let reason = format!(
            "A file_name is blank, longer than {MAX_NAME_BYTES} bytes or has control characters: send a plain name."
        );
        return refuse("invalid_file_name", reason);
    }
    let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    if !is_media_type(&media_type) {
        return refuse(
            "invalid_media_type",
            format!("The media_type of `{name}` is not of the form `type/subtype`: correct it, or leave it out."),
        );
    }
    if content_base64.len().div_ceil(4) * 3 > MAX_FILE_BYTES + 3 {
        return too_large(&name);
    }
    match STANDARD.decode(content_base64) {
        Ok(data) if data.len() > MAX_FILE_BYTES => too_large(&name),
        Ok(data) => Ok(InputPart::InlineFile(InlineFile { name, media_type, data })),
        Err(error) => refuse(
            "invalid_base64",
            format!("The content_base64 of `{name}` is not standard base64 with padding: {error}."),
        ),
    }
}

fn is_media_type(text: &str) -> bool {
    let (kind, rest) = text.split_once('/').unwrap_or_default();
    !kind.is_empty()
        && !rest.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn too_large(name: &str) -> Result<InputPart, Refusal> {
    refuse(
        "inline_file_too_large",
        format!("The file `{name}` takes more than {MAX_FILE_BYTES} bytes: send a smaller one."),
    )
}

fn refuse<T>(code: &str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::bad_request(code, reason))
}
