//! What is sent, and what becomes of refusals.

use kheish_guest::{
    FailureKind,
    http::{Body, Error, ErrorKind, FormValue, Request, Response, Script},
};
use serde_json::Value;

use super::*;
use crate::memory::Notes;

struct Try {
    settings: Value,
    route: Value,
    parts: Vec<Part>,
    answers: Vec<Result<Response, Error>>,
}

impl Default for Try {
    fn default() -> Self {
        Self {
            settings: json!({}),
            route: json!({"chat_id": 5}),
            parts: vec![Part::Text("hello **you**".to_owned())],
            answers: vec![sent(71)],
        }
    }
}

impl Try {
    fn run(self, notes: &Notes) -> (Result<Receipt, Failure>, Vec<Request>) {
        let settings: Settings = serde_json::from_value(self.settings).unwrap();
        let script = Script::new(self.answers);
        let outgoing = Outgoing {
            delivery_id: "d".to_owned(),
            attempt: 1,
            route: serde_json::from_value(self.route).unwrap(),
            parts: self.parts,
            first_part: 0,
            part_count: 1,
            sent: Vec::new(),
            idempotency_key: "k".to_owned(),
            metadata: "{}".to_owned(),
        };
        let receipt = deliver(&Api { client: &script, settings: &settings }, notes, &outgoing);
        assert_eq!(script.left(), 0, "{receipt:?}");
        (receipt, script.requests())
    }

    fn bodies(self) -> (Result<Receipt, Failure>, Vec<Value>) {
        let (receipt, requests) = self.run(&Notes::default());
        (receipt, requests.iter().map(body).collect())
    }
}

fn sent(id: i64) -> Result<Response, Error> {
    let result = json!({"ok": true, "result": {"message_id": id, "date": 9, "chat": {"id": 5}}});
    Ok(Response::new(200, result.to_string()))
}

fn no(status: u16, words: &str) -> Result<Response, Error> {
    Ok(Response::new(status, json!({"ok": false, "error_code": status, "description": words}).to_string()))
}

fn body(request: &Request) -> Value {
    match &request.body {
        Body::Bytes(bytes) => serde_json::from_slice(bytes).unwrap(),
        Body::Multipart(fields) => {
            let fields = fields.iter().map(|field| {
                let value = match &field.value {
                    FormValue::Text(text) => json!(text),
                    FormValue::Asset(asset) => json!([asset.asset_id, asset.file_name]),
                    FormValue::Bytes(_) => panic!("no bytes"),
                };
                (field.name.clone(), value)
            });
            Value::Object(fields.collect())
        }
        _ => panic!("no body"),
    }
}

fn file(media_type: &str, size: u64) -> Part {
    Part::Artifact(Artifact {
        asset_id: "A".to_owned(),
        name: "a.bin".to_owned(),
        media_type: media_type.to_owned(),
        size,
    })
}

#[test]
fn a_text_goes_out_with_marks_and_is_known_by_its_number() {
    let (receipt, bodies) = Try::default().bodies();
    let receipt = receipt.unwrap();
    assert_eq!(receipt.platform_id.as_deref(), Some("71"));
    let detail: Value = serde_json::from_str(&receipt.detail).unwrap();
    assert_eq!(detail, json!({"chat_id": 5, "message_id": 71, "date": 9, "left_out": []}));
    assert_eq!(bodies, [json!({"chat_id": 5, "text": "hello <b>you</b>", "parse_mode": "HTML"})]);
}

#[test]
fn settings_and_route_shape_the_message() {
    let settings = json!({"format": "plain", "silent": true, "link_previews": false});
    let route = json!({"chat_id": -7, "message_thread_id": 3, "reply_to_message_id": 4});
    let (_, bodies) = Try { settings, route, ..Try::default() }.bodies();
    let expected = json!({
        "chat_id": -7, "message_thread_id": 3, "text": "hello **you**", "disable_notification": true,
        "reply_parameters": {"message_id": 4, "allow_sending_without_reply": true},
        "link_preview_options": {"is_disabled": true},
    });
    assert_eq!(bodies, [expected]);
}

#[test]
fn marks_that_are_refused_are_left_out_and_the_text_is_as_it_was_written() {
    let answers = vec![no(400, "Bad Request: can't parse entities: Unsupported start tag"), sent(72)];
    let (receipt, bodies) = Try { answers, ..Try::default() }.bodies();
    assert!(receipt.unwrap().detail.contains("\"left_out\":[\"marks\"]"));
    assert_eq!(bodies[1], json!({"chat_id": 5, "text": "hello **you**"}));
}

#[test]
fn a_text_that_marks_make_too_long_goes_out_without() {
    // Each item gets a longer number than it was written with.
    let text = "1. a\n".repeat(819);
    let (receipt, bodies) = Try { parts: vec![Part::Text(text.clone())], ..Try::default() }.bodies();
    assert!(receipt.is_ok() && bodies[0]["parse_mode"].is_null());
    assert_eq!(bodies[0]["text"], text);
}

#[test]
fn what_a_refusal_speaks_of_is_left_out_once() {
    let route = || json!({"chat_id": -7, "message_thread_id": 3, "reply_to_message_id": 4});
    let thread = || no(400, "Bad Request: message thread not found");
    let (receipt, bodies) = Try { route: route(), answers: vec![thread(), sent(1)], ..Try::default() }.bodies();
    assert!(receipt.unwrap().detail.contains("topic"));
    assert!(bodies[1]["message_thread_id"].is_null() && bodies[1]["reply_parameters"].is_null());
    let reply = || no(400, "Bad Request: message to be replied not found");
    let (_, bodies) = Try { route: route(), answers: vec![reply(), sent(1)], ..Try::default() }.bodies();
    assert!(bodies[1]["reply_parameters"].is_null() && bodies[1]["message_thread_id"] == 3);
    let (receipt, _) = Try { route: route(), answers: vec![thread(), thread()], ..Try::default() }.bodies();
    assert_eq!(receipt.unwrap_err().code, "topic_not_found");
}

#[test]
fn a_group_that_has_moved_is_followed_and_remembered() {
    let moved = json!({"ok": false, "error_code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1_001}});
    let notes = Notes::default();
    let answers = vec![Ok(Response::new(400, moved.to_string())), sent(1)];
    let settings = || json!({"allowed_chat_ids": [-7]});
    let (receipt, requests) =
        Try { settings: settings(), route: json!({"chat_id": -7}), answers, ..Try::default() }.run(&notes);
    assert!(receipt.unwrap().detail.contains("-1001"));
    assert_eq!(body(&requests[1])["chat_id"], -1_001);
    let (_, requests) = Try { settings: settings(), route: json!({"chat_id": -7}), ..Try::default() }.run(&notes);
    assert_eq!(body(&requests[0])["chat_id"], -1_001);
}

#[test]
fn files_go_out_as_what_they_are() {
    for (media_type, size, method, field) in [
        ("image/png", 10, "sendPhoto", "photo"),
        ("image/jpeg", PHOTO_BYTES + 1, "sendDocument", "document"),
        ("image/svg+xml", 10, "sendDocument", "document"),
        ("audio/mpeg", 10, "sendAudio", "audio"),
        ("video/mp4", 10, "sendVideo", "video"),
        ("application/pdf", FILE_BYTES, "sendDocument", "document"),
    ] {
        let (receipt, requests) = Try { parts: vec![file(media_type, size)], ..Try::default() }.run(&Notes::default());
        assert!(receipt.is_ok() && requests[0].url.ends_with(method), "{media_type}: {}", requests[0].url);
        assert_eq!(body(&requests[0]), json!({"chat_id": "5", field: ["A", "a.bin"]}));
    }
}

#[test]
fn a_caption_goes_with_its_file() {
    let parts = vec![Part::Text("*see*".to_owned()), file("image/png", 10)];
    let (_, bodies) = Try { parts, ..Try::default() }.bodies();
    assert_eq!(bodies[0]["caption"], "<i>see</i>");
    assert_eq!(bodies[0]["parse_mode"], "HTML");
}

#[test]
fn a_picture_that_is_none_goes_out_as_a_document() {
    let answers = vec![no(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"), sent(1)];
    let (receipt, requests) =
        Try { parts: vec![file("image/png", 10)], answers, ..Try::default() }.run(&Notes::default());
    assert!(receipt.unwrap().detail.contains("file_kind") && requests[1].url.ends_with("sendDocument"));
}

#[test]
fn what_cannot_be_sent_is_not_tried() {
    let long = Part::Text("a".repeat(CAPTION_UNITS + 1));
    for (parts, settings, code) in [
        (vec![file("video/mp4", FILE_BYTES + 1)], json!({}), "file_too_big"),
        (vec![long, file("video/mp4", 1)], json!({}), "caption_too_long"),
        (vec![file("video/mp4", 1), file("video/mp4", 1)], json!({}), "too_many_files"),
        (vec![Part::Text("a".to_owned())], json!({"allowed_chat_ids": [6]}), "chat_not_allowed"),
    ] {
        let failure = Try { parts, settings, answers: Vec::new(), ..Try::default() }.bodies().0.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Terminal, code));
    }
    let blank = Try { parts: vec![Part::Text(" \n".to_owned())], answers: Vec::new(), ..Try::default() };
    assert!(blank.bodies().0.unwrap().platform_id.is_none());
}

#[test]
fn a_refusal_that_says_nothing_of_the_form_is_final_and_silence_is_unknown() {
    for (answer, kind) in [
        (no(403, "Forbidden: bot was blocked by the user"), FailureKind::Terminal),
        (no(429, "Too Many Requests: retry after 1"), FailureKind::Retryable),
        (no(401, "Unauthorized"), FailureKind::Unauthorized),
        (no(500, "Internal Server Error"), FailureKind::Unknown),
        (Ok(Response::new(400, "can't parse entities")), FailureKind::Terminal),
        (Err(Error::new(ErrorKind::Timeout, "no answer", true)), FailureKind::Unknown),
        (Err(Error::new(ErrorKind::Transport, "refused", false)), FailureKind::Retryable),
    ] {
        assert_eq!(Try { answers: vec![answer], ..Try::default() }.bodies().0.unwrap_err().kind, kind);
    }
}
