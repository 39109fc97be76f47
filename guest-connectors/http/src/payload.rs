//! The body of a request, decoded once. Unknown fields are refused: a misspelt one would be lost without a word.

use serde::{Deserialize, Serialize, Serializer, ser::Error};
use serde_json::Value;

use crate::reply::Handle;

/// What a caller sends. The fields are in alphabetical order, because the fingerprint is this struct written as JSON
/// with sorted keys: a replay may order its fields as it likes.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct Payload {
    /// Who caused it.
    pub(crate) actor_id: Option<String>,
    /// Files beside `content`.
    #[serde(serialize_with = "sorted")]
    pub(crate) attachments: Vec<Attachment>,
    /// Names of the conversation.
    pub(crate) binding_keys: Vec<String>,
    /// Its text.
    pub(crate) content: String,
    /// Says that two requests are one event.
    pub(crate) idempotency_key: Option<String>,
    /// Content in pieces, instead of `content` and `attachments`.
    #[serde(serialize_with = "sorted")]
    pub(crate) input_items: Vec<InputItem>,
    /// Whatever else the caller wants the run to know.
    pub(crate) metadata: Option<Value>,
    /// The address of one more reply target.
    pub(crate) reply_address: Option<String>,
    /// The plugin of one more reply target.
    pub(crate) reply_plugin: Option<String>,
    /// Where answers go.
    pub(crate) reply_targets: Vec<Handle>,
    /// The session that it goes to.
    pub(crate) session_id: Option<String>,
}

/// One piece of content.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum InputItem {
    /// Text.
    Text { text: String },
    /// A file that the host holds.
    AssetReference { asset_id: String },
    /// A board; known to the contract, but not to this host.
    BoardReference { board_id: String, revision_id: Option<String> },
    /// A file that comes along.
    InlineAsset(InlineAsset),
}

/// A file beside `content`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Attachment {
    /// A file that the host holds.
    AssetReference { asset_id: String },
    /// A file that comes along.
    InlineAsset(InlineAsset),
}

/// A file that comes along.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InlineAsset {
    /// Its bytes in standard base64.
    pub(crate) content_base64: String,
    /// Its name.
    pub(crate) file_name: String,
    /// Its media type; `application/octet-stream` when absent.
    pub(crate) media_type: Option<String>,
}

/// Writes values with sorted keys: a tagged enum puts its tag first.
fn sorted<T: Serialize, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_value(values).map_err(S::Error::custom)?.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use kheish_guest::json;

    use super::*;

    #[test]
    fn equal_payloads_are_written_alike() {
        let one =
            br#"{"metadata":{"b":[1, {"y":1,"x":2}],"a":1},"content":"hi","input_items":[{"type":"text","text":"t"}]}"#;
        let other = br#"{ "input_items": [{"text": "t", "type": "text"}],
            "content": "hi", "session_id": null, "metadata": {"a": 1, "b": [1, {"x": 2, "y": 1}]} }"#;
        let [one, other] = [&one[..], &other[..]].map(|body| json::text(&json::object::<Payload>(body).unwrap()));
        assert_eq!(one, other);
        assert_eq!(one, json::text(&serde_json::from_str::<Value>(&one).unwrap()), "keys are sorted");
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_place() {
        let refusal = json::object::<Payload>(b"{\"content\":\"a\",\n \"sesion_id\":\"b\"}").unwrap_err();
        assert_eq!(refusal.code, "invalid_payload");
        assert!(refusal.reason.contains("`sesion_id`") && refusal.reason.contains("line 2"), "{}", refusal.reason);
    }

    #[test]
    fn unknown_fields_of_files_are_refused() {
        let body = br#"{"attachments":[{"type":"inline_asset","file_name":"a","content_base64":"","size":1}]}"#;
        assert!(json::object::<Payload>(body).unwrap_err().reason.contains("`size`"));
    }
}
