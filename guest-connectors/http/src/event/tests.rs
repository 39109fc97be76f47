//! The rules of a payload, one by one.

use kheish_guest::{InputPart, SessionKey};
use serde_json::{Value, json};

use super::*;

fn send(settings: Value, authenticated_by: Option<&str>, body: Value) -> Result<Event, Refusal> {
    let context = Context { name: "orders".to_owned(), settings: serde_json::from_value(settings).unwrap() };
    let request = HttpRequest {
        method: "POST".to_owned(),
        target: "/v1/connectors/http/orders".to_owned(),
        subpath: String::new(),
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
        received_at_ms: 1,
        authenticated_by: authenticated_by.map(str::to_owned),
    };
    event(context, &request)
}

/// An accepted event of an authenticated caller.
fn accepted(settings: Value, body: Value) -> Event {
    send(settings, Some("hmac"), body).unwrap_or_else(|refusal| panic!("{}: {}", refusal.code, refusal.reason))
}

/// The code that `extra` earns beside an otherwise good payload.
fn code(extra: Value) -> String {
    code_of(json!({}), Some("hmac"), extra)
}

fn code_of(settings: Value, authenticated_by: Option<&str>, extra: Value) -> String {
    let mut body = json!({"idempotency_key": "k", "content": "hello"});
    for (field, value) in extra.as_object().unwrap() {
        body[field] = value.clone();
    }
    match send(settings, authenticated_by, body) {
        Ok(event) => panic!("accepted {event:?}"),
        Err(refusal) => {
            assert_eq!(refusal.status, 400);
            assert!(refusal.reason.ends_with('.'), "{}", refusal.reason);
            refusal.code
        }
    }
}

fn inline(name: &str, base64: &str) -> Value {
    json!({"type": "inline_asset", "file_name": name, "content_base64": base64})
}

#[test]
fn a_plain_event_gets_every_default() {
    let event = accepted(json!({}), json!({"idempotency_key": " k ", "content": "hello"}));
    assert_eq!(event.id.as_deref(), Some("k"));
    assert_eq!(event.actor.as_deref(), Some("http-webhook"));
    assert_eq!(event.source_kind, "orders");
    assert_eq!(event.metadata, "{}");
    assert!(matches!(event.session, SessionKey::Unspecified));
    assert!(matches!(&event.input[..], [InputPart::Text(text)] if text == "hello"));
    assert!(event.binding_keys.is_empty() && event.reply_targets.is_empty() && event.reply_route.is_none());
}

#[test]
fn the_payload_goes_before_the_settings() {
    let settings = json!({"actor_id": "erp", "default_binding_keys": ["inbox"]});
    assert_eq!(code(json!({"actor_id": "a".repeat(1025)})), "invalid_actor_id");
    let event = accepted(settings.clone(), json!({"idempotency_key": "k", "content": "a", "actor_id": " "}));
    assert_eq!((event.actor.as_deref(), event.binding_keys), (Some("erp"), vec!["inbox".to_owned()]));
    let body =
        json!({"idempotency_key": "k", "content": "a", "actor_id": "ada", "binding_keys": ["c:1"], "session_id": "s"});
    let event = accepted(settings, body);
    assert_eq!((event.actor.as_deref(), event.binding_keys), (Some("ada"), vec!["c:1".to_owned()]));
    assert!(matches!(event.session, SessionKey::SessionId(id) if id == "s"));
}

#[test]
fn an_open_connector_leaves_its_callers_no_choice() {
    let open = |extra: Value| code_of(json!({"allow_payload_reply_targets": true}), None, extra);
    let reference = json!([{"type": "asset_reference", "asset_id": "a"}]);
    assert_eq!(open(json!({"session_id": "s"})), "session_id_not_allowed");
    assert_eq!(open(json!({"binding_keys": ["a"]})), "binding_keys_not_allowed");
    assert_eq!(open(json!({"attachments": reference})), "asset_reference_not_allowed");
    assert_eq!(open(json!({"input_items": reference})), "asset_reference_not_allowed");
    assert_eq!(
        open(json!({"reply_plugin": "http", "reply_address": "https://a.example"})),
        "reply_targets_not_allowed"
    );
    let event = send(json!({"default_binding_keys": ["inbox"]}), None, json!({"idempotency_key": "k", "content": "a"}));
    assert_eq!(event.unwrap().binding_keys, ["inbox"]);
}

#[test]
fn callers_choose_reply_targets_only_where_they_may() {
    let target = json!({"plugin": "http", "address": "https://a.example"});
    let body = json!({"idempotency_key": "k", "content": "a", "reply_targets": [target],
        "reply_plugin": "http", "reply_address": "https://b.example"});
    let refusal = send(json!({}), Some("bearer"), body.clone()).unwrap_err();
    assert_eq!(refusal.code, "reply_targets_not_allowed");
    let event = accepted(json!({"allow_payload_reply_targets": true}), body);
    let addresses: Vec<_> = event.reply_targets.iter().map(|target| target.address.as_str()).collect();
    assert_eq!(addresses, ["https://a.example", "https://b.example"]);
}

#[test]
fn metadata_is_an_object_of_the_callers_own() {
    let metadata =
        |value: Value| accepted(json!({}), json!({"idempotency_key": "k", "content": "a", "metadata": value})).metadata;
    assert_eq!(metadata(json!({"b": 1, "a": {"c": null}})), r#"{"a":{"c":null},"b":1}"#);
    assert_eq!(metadata(json!([1, "two"])), r#"{"payload":[1,"two"]}"#);
    assert_eq!(metadata(json!(null)), "{}");
    for key in ["connector_ingress_key", "http_ingress_key_sha256", "event_relation"] {
        assert_eq!(code(json!({"metadata": {key: 1}})), "reserved_metadata");
    }
    assert_eq!(code(json!({"metadata": "x".repeat(64 * 1024)})), "metadata_too_large");
}

#[test]
fn a_key_is_asked_for_unless_the_operator_does_without() {
    for key in [json!(null), json!("  ")] {
        assert_eq!(code(json!({"idempotency_key": key})), "missing_idempotency_key");
    }
    assert_eq!(code(json!({"idempotency_key": "k".repeat(513)})), "invalid_idempotency_key");
    let event = accepted(json!({"require_idempotency_key": false}), json!({"content": "a"}));
    assert_eq!((event.id, event.fingerprint), (None, None));
}

#[test]
fn session_ids_and_binding_keys_are_checked() {
    for id in ["", ".", "..", "a\nb", &"s".repeat(257)] {
        assert_eq!(code(json!({"session_id": id})), "invalid_session_id");
    }
    for keys in [json!([" "]), json!(["k".repeat(513)]), json!(vec!["k"; 65])] {
        assert_eq!(code(json!({"binding_keys": keys})), "invalid_binding_keys");
    }
}

#[test]
fn replays_are_alike_and_conflicts_are_not() {
    let fingerprint = |body: Value| accepted(json!({}), body).fingerprint.unwrap();
    let body = json!({"idempotency_key": "k", "content": "a", "metadata": {"x": 1}});
    let spelt_out =
        json!({"metadata": {"x": 1}, "session_id": null, "binding_keys": [], "content": "a", "idempotency_key": "k"});
    assert_eq!(fingerprint(body.clone()), fingerprint(spelt_out));
    assert_ne!(fingerprint(body), fingerprint(json!({"idempotency_key": "k", "content": "a", "metadata": {"x": 2}})));
}

#[test]
fn content_is_text_with_attachments_or_items() {
    let body = json!({"idempotency_key": "k", "content": "see", "attachments": [inline("a.txt", "aGk=")]});
    let event = accepted(json!({}), body);
    let [InputPart::Text(_), InputPart::InlineFile(file)] = &event.input[..] else { panic!("{:?}", event.input) };
    let found = (file.name.as_str(), file.media_type.as_str(), file.data.as_slice());
    assert_eq!(found, ("a.txt", "application/octet-stream", &b"hi"[..]));
    let items = json!([{"type": "text", "text": "one"}, {"type": "asset_reference", "asset_id": "a1"}]);
    let event = accepted(json!({}), json!({"idempotency_key": "k", "input_items": items}));
    assert!(matches!(&event.input[..], [InputPart::Text(_), InputPart::Asset(id)] if id == "a1"));
}

#[test]
fn content_that_breaks_a_rule_is_refused() {
    let text = json!({"type": "text", "text": "t"});
    let items = |items: Value| code(json!({"content": "", "input_items": items}));
    assert_eq!(code(json!({"content": ""})), "empty_content");
    assert_eq!(items(json!([{"type": "text", "text": ""}])), "empty_content");
    assert_eq!(code(json!({"input_items": [text]})), "conflicting_content");
    assert_eq!(items(json!([{"type": "board_reference", "board_id": "b"}])), "unsupported_input");
    assert_eq!(items(json!(vec![text; 65])), "too_many_input_items");
    assert_eq!(code(json!({"content": "x".repeat(1024 * 1024 + 1)})), "content_too_large");
    assert_eq!(code(json!({"attachments": vec![inline("a", ""); 11]})), "too_many_attachments");
}

#[test]
fn files_that_break_a_rule_are_refused() {
    let file = |file: Value| code(json!({"attachments": [file]}));
    assert_eq!(file(inline("a", "no base64")), "invalid_base64");
    assert_eq!(file(inline("a", "aGk")), "invalid_base64");
    assert_eq!(file(inline(" ", "aGk=")), "invalid_file_name");
    assert_eq!(file(inline("a", &"AAAA".repeat(349_526))), "inline_file_too_large");
    assert_eq!(file(inline("a", &"AAAA".repeat(400_000))), "inline_file_too_large");
    let mut odd = inline("a", "aGk=");
    odd["media_type"] = json!("text");
    assert_eq!(file(odd), "invalid_media_type");
    let largest = inline("a", &format!("{}AA==", "AAAA".repeat(349_525)));
    assert_eq!(accepted(json!({}), json!({"idempotency_key": "k", "attachments": [largest]})).input.len(), 1);
}
