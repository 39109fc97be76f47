//! Requests as Slack sends them, one rule after the other.

use kheish_guest::{Event, Header, InputPart, SessionKey, http::encoded};
use serde_json::{Value, json};

use super::*;
use crate::{
    route::Route,
    seal::{self, tests::Key},
};

mod changes;
mod forms;

const KEY: Key = Key("secret");

fn send(settings: Value, media_type: &str, body: &str) -> Result<Answer, Refusal> {
    let context = Context { name: "support".to_owned(), settings: serde_json::from_value(settings).unwrap() };
    let request = HttpRequest {
        method: "POST".to_owned(),
        target: "/v1/connectors/slack/support".to_owned(),
        subpath: String::new(),
        headers: vec![Header { name: "content-type".to_owned(), value: media_type.to_owned() }],
        body: body.as_bytes().to_vec(),
        received_at_ms: 1,
        authenticated_by: Some("slack_v0".to_owned()),
    };
    handle(&context, &request, &KEY)
}

fn post(settings: Value, body: &Value) -> Result<Answer, Refusal> {
    send(settings, "application/json", &body.to_string())
}

/// The event that an answer accepts, and the body that Slack is told.
fn accepted(answer: Result<Answer, Refusal>) -> (Event, Option<HttpResponse>) {
    match answer {
        Ok(Answer::Accept { mut events, response }) if events.len() == 1 => (events.remove(0), response),
        other => panic!("not accepted: {other:?}"),
    }
}

fn told(answer: Result<Answer, Refusal>) -> Value {
    match answer {
        Ok(Answer::Respond(response)) => {
            assert_eq!(response.status, 200);
            serde_json::from_slice(&response.body).unwrap()
        }
        other => panic!("no plain answer: {other:?}"),
    }
}

fn refused(answer: Result<Answer, Refusal>) -> (u16, String) {
    let refusal = answer.map(|answer| panic!("taken: {answer:?}")).unwrap_err();
    assert!(refusal.reason.ends_with('.'), "{}", refusal.reason);
    (refusal.status, refusal.code)
}

fn route(event: &Event) -> Route {
    serde_json::from_str(event.reply_route.as_ref().unwrap()).unwrap()
}

fn session(event: &Event) -> &str {
    let SessionKey::SessionId(id) = &event.session else { panic!("{:?}", event.session) };
    assert_eq!(event.binding_keys, [id.as_str()]);
    id
}

fn said(event: &Event) -> &str {
    let [InputPart::Text(text), ..] = &event.input[..] else { panic!("{:?}", event.input) };
    text
}

/// An envelope with an event to which `extra` is added.
fn envelope(extra: Value) -> Value {
    let mut event = json!({
        "type": "message", "channel": "C024BE91L", "channel_type": "channel", "user": "U2147483697", "text": "Live long",
        "ts": "1355517523.000005", "event_ts": "1355517523.000005", "client_msg_id": "4f8a", "team": "T0AUTHOR",
        "blocks": [{"type": "rich_text", "elements": []}],
    });
    for (name, value) in extra.as_object().unwrap() {
        event[name] = value.clone();
    }
    json!({
        "token": "canary-token", "team_id": "T024BE7LD", "api_app_id": "A0FFV41KK", "type": "event_callback",
        "event_id": "Ev0LAN670R", "event_time": 1_355_517_523, "event_context": "EC1", "is_ext_shared_channel": false,
        "authorizations": [
            {"enterprise_id": null, "team_id": "T024BE7LD", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false},
        ],
        "event": event,
    })
}

fn message(extra: Value) -> Event {
    accepted(post(json!({}), &envelope(extra))).0
}

#[test]
fn a_message_is_an_event_of_its_thread() {
    let event = message(json!({}));
    assert_eq!(event.id.as_deref(), Some("team:T024BE7LD:C024BE91L:1355517523.000005"));
    assert_eq!(session(&event), "slack:support:team:T024BE7LD:C024BE91L:1355517523.000005");
    assert_eq!((event.actor.as_deref(), event.source_kind.as_str()), (Some("U2147483697"), "message"));
    assert_eq!((said(&event), event.occurred_at_ms), ("Live long", Some(1_355_517_523_000)));
    let expected = json!({"team_id": "T024BE7LD", "channel_id": "C024BE91L", "thread_ts": "1355517523.000005"});
    assert_eq!(serde_json::to_value(route(&event)).unwrap(), expected);
    let reply = message(json!({"ts": "1355517600.000001", "thread_ts": "1355517523.000005"}));
    assert_eq!(session(&reply), session(&event));
    assert_ne!(reply.id, event.id);
}

#[test]
fn the_envelope_is_kept_without_its_token() {
    let event = message(json!({"nested": {"deep": [1, 2]}}));
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
    assert_eq!(metadata["event_id"], "Ev0LAN670R");
    assert_eq!(metadata["event"]["nested"], json!({"deep": [1, 2]}));
    assert_eq!(metadata["authorizations"][0]["user_id"], "U0BOT");
    assert!(!event.metadata.contains("canary-token"));
    let large = message(json!({"text": "x".repeat(40_000), "blocks": "y".repeat(40_000)}));
    assert!(large.metadata.len() < 60 * 1024 && large.metadata.contains("\"truncated\":true"));
    assert_eq!(said(&large).len(), 40_000);
}

#[test]
fn a_retry_differs_only_in_how_it_was_delivered() {
    let first = message(json!({}));
    let mut retry = envelope(json!({"event_ts": "1355517523.000009", "blocks": []}));
    retry["event_id"] = json!("Ev0OTHER");
    retry["event_time"] = json!(1_355_517_999);
    retry["event_context"] = json!("EC2");
    retry["authorizations"][0]["user_id"] = json!("U0OTHERBOT");
    let retry = accepted(post(json!({}), &retry)).0;
    assert_eq!((&retry.id, &retry.fingerprint), (&first.id, &first.fingerprint));
    let other = message(json!({"text": "and prosper"}));
    assert_eq!(other.id, first.id);
    assert_ne!(other.fingerprint, first.fingerprint, "another text under the same key is a conflict");
}

#[test]
fn a_mention_and_its_message_are_one() {
    let (first, second) = (message(json!({})), message(json!({"type": "app_mention", "channel_type": null})));
    assert_eq!((&first.id, &first.fingerprint), (&second.id, &second.fingerprint));
    assert_eq!(second.source_kind, "app_mention");
}

#[test]
fn machines_are_not_answered() {
    let ignored = json!({"ignored": true, "reason": "unsupported_message_subtype"});
    for extra in [
        json!({"bot_id": "B1"}),
        json!({"subtype": "bot_message"}),
        json!({"app_id": "A0FFV41KK"}),
        json!({"user": "U0BOT"}),
        json!({"subtype": "channel_join"}),
        json!({"subtype": "message_replied"}),
    ] {
        assert_eq!(told(post(json!({}), &envelope(extra.clone()))), ignored, "{extra}");
    }
    for subtype in ["file_share", "thread_broadcast", "me_message"] {
        assert_eq!(said(&message(json!({"subtype": subtype}))), "Live long", "{subtype}");
    }
}

#[test]
fn other_events_and_envelopes_are_ignored() {
    let reaction = envelope(json!({"type": "reaction_added"}));
    assert_eq!(told(post(json!({}), &reaction))["reason"], "unsupported_event");
    assert_eq!(told(post(json!({}), &json!({"type": "new_thing"})))["reason"], "unsupported_envelope");
    assert_eq!(refused(post(json!({"allowed_team_ids": ["T1"]}), &json!({"type": "new_thing"}))).0, 403);
}

#[test]
fn a_challenge_is_answered_whatever_the_lists_say() {
    let body = json!({"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CYTCLu", "type": "url_verification"});
    let settings = json!({"allowed_team_ids": ["T1"]});
    assert_eq!(told(post(settings, &body)), json!({"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CYTCLu"}));
    assert_eq!(refused(post(json!({}), &json!({"type": "url_verification"}))).1, "missing_challenge");
}

#[test]
fn what_lacks_a_part_is_the_callers_mistake() {
    let mut empty = envelope(json!({}));
    empty.as_object_mut().unwrap().remove("event");
    assert_eq!(refused(post(json!({}), &empty)), (400, "missing_event".to_owned()));
    for (extra, code) in [
        (json!({"channel": null}), "missing_channel"),
        (json!({"channel": "C1:C2"}), "missing_channel"),
        (json!({"ts": null}), "missing_ts"),
        (json!({"ts": "now"}), "missing_ts"),
    ] {
        assert_eq!(refused(post(json!({}), &envelope(extra))), (400, code.to_owned()));
    }
    let deep = format!("{{\"type\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for body in ["", "[]", "{", "{\"type\":1}", deep.as_str()] {
        assert_eq!(refused(send(json!({}), "application/json", body)), (400, "invalid_payload".to_owned()), "{body}");
    }
}

#[test]
fn the_lists_are_kept() {
    for (settings, status) in [
        (json!({"allowed_api_app_ids": ["A0FFV41KK"], "allowed_team_ids": ["T024BE7LD"]}), None),
        (json!({"allowed_channel_ids": ["C024BE91L"]}), None),
        (json!({"allowed_channel_ids": ["C1"]}), Some(403)),
        (json!({"allowed_team_ids": ["T0AUTHOR"]}), Some(403)),
        (json!({"allowed_enterprise_ids": ["E1"]}), Some(403)),
        (json!({"allowed_api_app_ids": ["A1"]}), Some(403)),
    ] {
        let answer = post(settings.clone(), &envelope(json!({})));
        assert_eq!(answer.err().map(|refusal| refusal.status), status, "{settings}");
    }
    let mut two = envelope(json!({}));
    two["authorizations"].as_array_mut().unwrap().push(json!({"team_id": "T0OTHER", "user_id": "U9", "is_bot": true}));
    assert_eq!(refused(post(json!({"allowed_team_ids": ["T024BE7LD"]}), &two)).0, 403);
}

#[test]
fn an_organisation_is_part_of_every_name() {
    let mut body = envelope(json!({}));
    body["enterprise_id"] = json!("E1");
    body["context_enterprise_id"] = json!("E2");
    body["context_team_id"] = json!("T2");
    let event = accepted(post(json!({}), &body)).0;
    assert_eq!(event.id.as_deref(), Some("enterprise:E2:team:T2:C024BE91L:1355517523.000005"));
    assert_eq!(session(&event), "slack:support:enterprise:E2:team:T2:C024BE91L:1355517523.000005");
    let found = route(&event);
    assert_eq!((found.enterprise_id.as_deref(), found.team_id.as_deref()), (Some("E2"), Some("T2")));
}

#[test]
fn files_are_named_and_not_fetched() {
    let file = json!({"id": "F1", "name": "report.pdf", "mimetype": "application/pdf", "size": 42,
        "url_private_download": "https://files.slack.com/files-pri/T1-F1/download/report.pdf"});
    let event = message(json!({"subtype": "file_share", "text": "", "files": [file]}));
    let [InputPart::RemoteFile(file)] = &event.input[..] else { panic!("{:?}", event.input) };
    assert_eq!(
        (file.name.as_str(), file.media_type.as_deref(), file.size),
        ("report.pdf", Some("application/pdf"), Some(42))
    );
    let both = message(json!({"files": [{"id": "F1"}, {"id": "F2"}]}));
    assert_eq!((both.input.len(), said(&both)), (3, "Live long"));
    assert_eq!(message(json!({"text": null})).input.len(), 1, "there is always something");
}
