//! Polls one after another, against answers as Telegram gives them.

use kheish_guest::{
    FailureKind,
    http::{Body, Error, Request, Script},
};
use serde_json::{Value, json};

use super::*;
use crate::settings::Settings;

/// Wednesday, 25 November 2026.
const TODAY: &str = "Wed, 25 Nov 2026 11:10:38 GMT";
const NEXT_WEEK: &str = "Thu, 03 Dec 2026 11:10:38 GMT";

fn updates(date: &str, updates: &[Value]) -> Result<Response, Error> {
    let body = json!({"ok": true, "result": updates});
    Ok(Response::new(200, body.to_string()).with_header("date", date))
}

fn no_webhook(date: &str) -> Result<Response, Error> {
    Ok(Response::new(200, json!({"ok": true, "result": {"url": ""}}).to_string()).with_header("date", date))
}

fn text(id: i64, chat: i64, text: &str) -> Value {
    json!({"update_id": id, "message": {
        "message_id": id, "date": 1, "chat": {"id": chat, "type": "private"}, "from": {"id": chat}, "text": text,
    }})
}

fn picture(id: i64, chat: i64, album: &str) -> Value {
    let mut update = text(id, chat, "");
    update["message"]["media_group_id"] = json!(album);
    update["message"]["photo"] = json!([{"file_id": format!("f{id}"), "file_unique_id": format!("u{id}")}]);
    update
}

fn polling() -> Settings {
    serde_json::from_value(json!({"ingress_mode": "polling"})).unwrap()
}

/// A poller whose cursor is kept from call to call.
#[derive(Default)]
struct Poller {
    cursor: Option<Cursor>,
}

/// One event: its id, and how many parts it has.
type Seen = (String, usize);

impl Poller {
    fn poll(&mut self, answers: Vec<Result<Response, Error>>) -> (Vec<Seen>, Vec<Request>, u64) {
        let settings = polling();
        let script = Script::new(answers);
        let polled = poll(&Api { client: &script, settings: &settings }, "bot", self.cursor.clone()).unwrap();
        assert_eq!(script.left(), 0);
        if let Some(next) = polled.batch.cursor {
            // What the host keeps is the text.
            self.cursor = serde_json::from_str(&kheish_guest::json::text(&next)).unwrap();
        }
        let events = polled.batch.events.into_iter().map(|event| (event.id.unwrap(), event.input.len()));
        (events.collect(), script.requests(), polled.batch.next_poll_after_ms)
    }
}

fn asked(request: &Request) -> Value {
    assert!(request.url.ends_with("/getUpdates"), "{}", request.url);
    let Body::Bytes(body) = &request.body else { panic!("no body") };
    serde_json::from_slice(body).unwrap()
}

fn seen(ids: &[(&str, usize)]) -> Vec<Seen> {
    ids.iter().map(|(id, parts)| ((*id).to_owned(), *parts)).collect()
}

#[test]
fn an_offset_is_named_once_after_what_it_confirms() {
    let mut poller = Poller::default();
    let (events, requests, wait) = poller.poll(vec![updates(TODAY, &[text(7, 5, "a"), text(9, 6, "b")])]);
    assert_eq!((events, wait), (seen(&[("7", 1), ("9", 1)]), 0));
    let first = asked(&requests[0]);
    assert_eq!(
        (&first["offset"], &first["timeout"], &first["allowed_updates"]),
        (&Value::Null, &json!(30), &json!(KINDS))
    );
    assert_eq!(requests[0].timeout_ms, Some(40_000));
    let (_, requests, _) = poller.poll(vec![no_webhook(TODAY), updates(TODAY, &[])]);
    assert_eq!(asked(&requests[1])["offset"], 10);
    let (_, requests, _) = poller.poll(vec![updates(TODAY, &[])]);
    assert_eq!(asked(&requests[0])["offset"], Value::Null, "Telegram may begin anew at any number");
    let before = poller.cursor.clone();
    poller.poll(vec![updates(NEXT_WEEK, &[])]);
    assert_eq!(poller.cursor, before, "an idle poll writes nothing");
}

#[test]
fn an_offset_from_before_a_week_without_updates_is_not_named() {
    let mut poller = Poller::default();
    poller.poll(vec![updates(TODAY, &[text(900, 5, "a")])]);
    let (events, requests, _) = poller.poll(vec![no_webhook(NEXT_WEEK), updates(NEXT_WEEK, &[text(12, 5, "b")])]);
    assert_eq!(asked(&requests[1])["offset"], Value::Null);
    assert_eq!(events, seen(&[("12", 1)]));
    let (_, requests, _) = poller.poll(vec![no_webhook(NEXT_WEEK), updates(NEXT_WEEK, &[])]);
    assert_eq!(asked(&requests[1])["offset"], 13);
}

#[test]
fn an_offset_counts_where_nobody_says_what_time_it_is() {
    let mut poller = Poller::default();
    poller.poll(vec![updates(TODAY, &[text(7, 5, "a")])]);
    let silent = Err(Error::new(kheish_guest::http::ErrorKind::Timeout, "no answer", true));
    let (_, requests, _) = poller.poll(vec![silent, updates(TODAY, &[])]);
    assert_eq!(asked(&requests[1])["offset"], 8);
}

#[test]
fn what_makes_no_event_is_passed_by() {
    let mut poller = Poller::default();
    let strange = [
        json!({"update_id": 20, "poll": {"id": "1"}}),
        json!({"update_id": 21, "message": {"message_id": "x"}}),
        json!({"no": "number"}),
        text(22, 5, "a"),
        json!({"update_id": 23, "callback_query": {"id": "1", "from": {"id": 1}, "game_short_name": "g"}}),
    ];
    assert_eq!(poller.poll(vec![updates(TODAY, &strange)]).0, seen(&[("22", 1)]));
    let (_, requests, _) = poller.poll(vec![no_webhook(TODAY), updates(TODAY, &[])]);
    assert_eq!(asked(&requests[1])["offset"], 24);
}

#[test]
fn pictures_of_an_album_are_events_that_name_it() {
    let script = Script::new([updates(TODAY, &[text(1, 5, "a"), picture(2, 5, "g"), picture(3, 5, "g")])]);
    let settings = polling();
    let polled = poll(&Api { client: &script, settings: &settings }, "bot", None).unwrap();
    let groups = polled.batch.events.iter().map(|event| event.settle.as_ref().map(|settle| settle.group.as_str()));
    assert_eq!(groups.collect::<Vec<_>>(), [None, Some("g"), Some("g")]);
    assert_eq!(polled.batch.next_poll_after_ms, 0);
}

#[test]
fn a_button_is_acknowledged_once_its_event_is_durable() {
    let mut poller = Poller::default();
    let message = text(1, 5, "choose")["message"].clone();
    let pressed =
        json!({"update_id": 30, "callback_query": {"id": "q1", "from": {"id": 5}, "message": message, "data": "yes"}});
    let (events, requests, _) = poller.poll(vec![updates(TODAY, &[pressed])]);
    assert_eq!((events, requests.len()), (seen(&[("30", 1)]), 1));
    let done = Ok(Response::new(200, "{\"ok\":true,\"result\":true}"));
    let (_, requests, _) = poller.poll(vec![done, no_webhook(TODAY), updates(TODAY, &[])]);
    assert!(requests[0].url.ends_with("/answerCallbackQuery"));
    poller.poll(vec![updates(TODAY, &[])]);
}

#[test]
fn failures_have_their_classes_and_conflicts_their_causes() {
    let no = |status: u16, words: &str| {
        let body = json!({"ok": false, "error_code": status, "description": words});
        Ok(Response::new(status, body.to_string()))
    };
    let webhook = json!({"ok": true, "result": {"url": "https://elsewhere.example/hook"}}).to_string();
    for (answers, kind, code, wait) in [
        (vec![no(401, "Unauthorized")], FailureKind::Unauthorized, "token_revoked", None),
        (vec![no(429, "Too Many Requests: retry after 5")], FailureKind::Retryable, "rate_limited", Some(3_000)),
        (vec![no(502, "Bad Gateway")], FailureKind::Retryable, "server_error", None),
        (
            vec![no(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )],
            FailureKind::Retryable,
            "another_poller",
            Some(3_000),
        ),
        (
            vec![
                no(409, "Conflict: can't use getUpdates method while webhook is active"),
                Ok(Response::new(200, webhook)),
            ],
            FailureKind::Retryable,
            "webhook_active",
            Some(3_000),
        ),
    ] {
        let settings = polling();
        let script = Script::new(answers);
        let failure = poll(&Api { client: &script, settings: &settings }, "bot", None).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str(), failure.retry_after_ms), (kind, code, wait));
        assert!(code != "webhook_active" || failure.reason.contains("https://elsewhere.example/hook"));
    }
}

#[test]
fn a_connector_that_is_sent_its_updates_asks_for_none() {
    let (settings, script) = (Settings::default(), Script::new([]));
    let polled = poll(&Api { client: &script, settings: &settings }, "bot", None).unwrap();
    assert_eq!((polled.batch.events.len(), polled.batch.next_poll_after_ms), (0, IDLE_MS));
}
