//! What goes to Slack, and what becomes of its answers.

use std::{cell::RefCell, collections::BTreeMap};

use kheish_guest::{
    Artifact, FailureKind, Finding,
    http::{Body, Error, ErrorKind, Response, Script},
};

use super::*;
use crate::seal::tests::Key;

const KEY: Key = Key("secret");
const TS: &str = "1503435956.000247";

#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, String>>);

impl State for Memory {
    fn get(&self, key: &str) -> Option<String> {
        self.0.borrow().get(key).cloned()
    }

    fn set(&self, key: &str, value: &str) {
        self.0.borrow_mut().insert(key.to_owned(), value.to_owned());
    }

    fn delete(&self, key: &str) {
        self.0.borrow_mut().remove(key);
    }
}

fn said(status: u16, body: Value) -> Result<Response, Error> {
    Ok(Response::new(status, body.to_string()))
}

fn ok(body: Value) -> Result<Response, Error> {
    let mut body = body;
    body["ok"] = true.into();
    said(200, body)
}

fn error(word: &str) -> Result<Response, Error> {
    said(200, json!({"ok": false, "error": word}))
}

fn lost() -> Result<Response, Error> {
    Err(Error::new(ErrorKind::Transport, "reset", true))
}

fn outgoing(route: Value, part: Part) -> Outgoing<Route> {
    Outgoing {
        delivery_id: "delivery_017f22e279b07cc398c4dc0c0c07398f".to_owned(),
        attempt: 1,
        route: serde_json::from_value(route).unwrap(),
        parts: vec![part],
        first_part: 0,
        part_count: 1,
        sent: Vec::new(),
        idempotency_key: "kheish:delivery_1".to_owned(),
        metadata: r#"{"attempt_started_at_ms":1645557742000}"#.to_owned(),
    }
}

fn text(route: Value, text: &str) -> Outgoing<Route> {
    outgoing(route, Part::Text(text.to_owned()))
}

fn file() -> Outgoing<Route> {
    let artifact = Artifact {
        asset_id: "asset-1".to_owned(),
        name: "a.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 42,
    };
    outgoing(json!({"channel_id": "C1", "thread_ts": TS}), Part::Artifact(artifact))
}

struct Slack {
    settings: Settings,
    script: Script,
    memory: Memory,
}

impl Slack {
    fn new(settings: Value, answers: Vec<Result<Response, Error>>) -> Self {
        let settings = serde_json::from_value(settings).unwrap();
        Self { settings, script: Script::new(answers), memory: Memory::default() }
    }

    fn answering(self, answers: Vec<Result<Response, Error>>) -> Self {
        Self { script: Script::new(answers), ..self }
    }

    fn world(&self) -> World<'_> {
        World { settings: &self.settings, client: &self.script, state: &self.memory, key: &KEY }
    }

    fn deliver(&self, outgoing: &Outgoing<Route>) -> Result<Receipt, Failure> {
        deliver(&self.world(), outgoing)
    }

    fn find(&self, outgoing: &Outgoing<Route>) -> Result<Finding, Failure> {
        find(&self.world(), outgoing)
    }

    /// What looking comes to, where nothing stands in its way.
    fn found(&self, outgoing: &Outgoing<Route>) -> Finding {
        self.find(outgoing).unwrap_or_else(|failure| panic!("{}: {}", failure.code, failure.reason))
    }

    /// The methods that were called, or the addresses of others.
    fn calls(&self) -> Vec<String> {
        let urls = self.script.requests().into_iter().map(|request| request.url);
        urls.map(|url| url.strip_prefix("https://slack.com/api/").unwrap_or(&url).to_owned()).collect()
    }

    fn sent(&self, index: usize) -> Value {
        let Body::Bytes(bytes) = &self.script.requests()[index].body else { panic!("no bytes") };
        serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
    }
}

#[test]
fn a_text_is_posted_into_its_thread_under_a_name_that_stays() {
    let slack = Slack::new(
        json!({}),
        vec![ok(json!({"channel": "C1", "ts": "1.2"})), ok(json!({"channel": "C1", "ts": "1.3"}))],
    );
    let mut part = text(json!({"channel_id": "C1", "thread_ts": TS}), "**hi** <!here>");
    let receipt = slack.deliver(&part).unwrap();
    assert_eq!(
        (receipt.platform_id.as_deref(), receipt.detail.as_str()),
        (Some("1.2"), r#"{"channel":"C1","ts":"1.2"}"#)
    );
    let body = slack.sent(0);
    assert_eq!(
        (&body["text"], &body["thread_ts"], &body["mrkdwn"]),
        (&json!("*hi* &lt;!here&gt;"), &json!(TS), &json!(true))
    );
    assert_eq!(body["metadata"]["event_payload"]["part"], body["client_msg_id"]);
    part.attempt = 2;
    slack.deliver(&part).unwrap();
    assert_eq!(slack.sent(1)["client_msg_id"], body["client_msg_id"]);
    part.first_part = 1;
    assert_ne!(name(&part), body["client_msg_id"].as_str().unwrap());
}

#[test]
fn each_workspace_has_its_token() {
    let slack = Slack::new(json!({"team_bot_tokens": [{"team_id": "T1"}]}), vec![ok(json!({})), ok(json!({}))]);
    for team in ["T1", "T2"] {
        slack.deliver(&text(json!({"channel_id": "C1", "team_id": team}), "hi")).unwrap();
    }
    let slots =
        slack.script.requests().into_iter().map(|request| format!("{:?}", request.credentials)).collect::<Vec<_>>();
    assert!(slots[0].contains("team_bot_tokens.T1.bot_token") && slots[1].contains("\"bot_token\""), "{slots:?}");
    let slack = Slack::new(json!({"team_bot_tokens": [{"team_id": "T1"}]}), vec![error("token_revoked")]);
    let part = text(json!({"channel_id": "C1", "team_id": "T1"}), "hi");
    let failure = slack.deliver(&part).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Retryable, "token_revoked"));
}

#[test]
fn a_lost_thread_is_answered_in_the_channel_once() {
    let route = json!({"channel_id": "C1", "thread_ts": TS});
    let slack = Slack::new(json!({}), vec![error("thread_not_found"), ok(json!({"channel": "C1", "ts": "1.2"}))]);
    slack.deliver(&text(route.clone(), "hi")).unwrap();
    assert_eq!((&slack.sent(0)["thread_ts"], slack.sent(1).get("thread_ts")), (&json!(TS), None));
    let slack = Slack::new(json!({}), vec![error("cannot_reply_to_message"), error("is_archived")]);
    assert_eq!(slack.deliver(&text(route, "hi")).unwrap_err().code, "is_archived");
    let slack = Slack::new(json!({}), vec![error("channel_not_found")]);
    assert_eq!(slack.deliver(&text(json!({"channel_id": "C1"}), "hi")).unwrap_err().kind, FailureKind::Terminal);
}

#[test]
fn what_says_nothing_is_not_posted() {
    let slack = Slack::new(json!({}), Vec::new());
    assert_eq!(slack.deliver(&text(json!({"channel_id": "C1"}), " \n")).unwrap().platform_id, None);
}

fn command() -> Value {
    let sealed = seal::seal(&KEY, "https://hooks.slack.com/commands/1").unwrap();
    json!({"channel_id": "C1", "user_id": "U1", "response": sealed})
}

#[test]
fn a_command_is_answered_at_its_address_without_the_token() {
    let slack = Slack::new(json!({}), vec![Ok(Response::new(200, "ok"))]);
    slack.deliver(&text(command(), "done")).unwrap();
    let request = &slack.script.requests()[0];
    assert_eq!((request.url.as_str(), request.credentials.len()), ("https://hooks.slack.com/commands/1", 0));
    assert_eq!(slack.sent(0), json!({"response_type": "ephemeral", "text": "done", "replace_original": false}));
}

#[test]
fn a_used_up_address_does_not_lose_the_answer() {
    let denied = || Err(Error::new(ErrorKind::Denied, "host", false));
    for gone in [Ok(Response::new(404, "used_url")), denied()] {
        let slack = Slack::new(json!({}), vec![gone.clone(), ok(json!({"message_ts": "1.2"}))]);
        assert_eq!(slack.deliver(&text(command(), "done")).unwrap().platform_id.as_deref(), Some("1.2"));
        assert_eq!((slack.calls()[1].as_str(), &slack.sent(1)["user"]), ("chat.postEphemeral", &json!("U1")));
        let slack =
            Slack::new(json!({"command_answers": "in_channel"}), vec![gone, ok(json!({"channel": "C1", "ts": "1.2"}))]);
        slack.deliver(&text(command(), "done")).unwrap();
        assert_eq!(
            (slack.sent(0)["response_type"].as_str(), slack.calls()[1].as_str()),
            (Some("in_channel"), "chat.postMessage")
        );
    }
    let mut forged = command();
    forged["response"] = json!("AAAA");
    let slack = Slack::new(json!({}), vec![ok(json!({"message_ts": "1.2"}))]);
    slack.deliver(&text(forged, "done")).unwrap();
    assert_eq!(slack.calls(), ["chat.postEphemeral"]);
    let slack = Slack::new(json!({}), vec![Ok(Response::new(500, ""))]);
    assert_eq!(slack.deliver(&text(command(), "done")).unwrap_err().kind, FailureKind::Unknown);
}

fn place() -> Result<Response, Error> {
    ok(json!({"upload_url": "https://files.slack.com/upload/v1/ABC", "file_id": "F1"}))
}

#[test]
fn a_file_goes_up_before_it_is_shared_and_each_is_committed() {
    let slack = Slack::new(json!({}), vec![place(), Ok(Response::new(200, "OK - 42"))]);
    let first = slack.deliver(&file()).unwrap_err();
    assert_eq!(
        (first.kind, first.code.as_str(), first.retry_after_ms),
        (FailureKind::Retryable, "file_uploaded", Some(1))
    );
    assert_eq!(slack.calls(), ["files.getUploadURLExternal", "https://files.slack.com/upload/v1/ABC"]);
    assert_eq!(slack.sent(0), "filename=a.pdf&length=42");
    let upload = &slack.script.requests()[1];
    assert!(upload.credentials.is_empty() && matches!(&upload.body, Body::Asset(id) if id == "asset-1"));
    let slack = slack.answering(vec![ok(json!({"files": [{"id": "F1"}]}))]);
    assert_eq!(slack.deliver(&file()).unwrap().platform_id.as_deref(), Some("F1"));
    assert_eq!(slack.sent(0), json!({"files": [{"id": "F1", "title": "a.pdf"}], "channel_id": "C1", "thread_ts": TS}));
    assert!(slack.memory.0.borrow().is_empty(), "nothing is left behind");
}

#[test]
fn an_upload_that_broke_off_begins_anew() {
    for answers in [vec![lost()], vec![place(), lost()], vec![place(), Ok(Response::new(500, ""))]] {
        let slack = Slack::new(json!({}), answers);
        assert_eq!(slack.deliver(&file()).unwrap_err().kind, FailureKind::Retryable);
        assert!(slack.memory.0.borrow().is_empty());
        assert!(matches!(slack.found(&file()), Finding::Absent), "nobody saw anything");
    }
    let slack = Slack::new(json!({}), vec![place(), Ok(Response::new(200, "")), error("file_not_found")]);
    slack.deliver(&file()).unwrap_err();
    assert_eq!(slack.deliver(&file()).unwrap_err().code, "upload_expired");
    assert!(slack.memory.0.borrow().is_empty());
}

#[test]
fn a_file_that_may_be_shared_is_looked_up() {
    let answers = vec![
        place(),
        Ok(Response::new(200, "")),
        lost(),
        ok(json!({"file": {"shares": {}}})),
        ok(json!({"file": {"shares": {"private": {"C1": [{"ts": "1.2"}]}}}})),
    ];
    let slack = Slack::new(json!({}), answers);
    slack.deliver(&file()).unwrap_err();
    assert_eq!(slack.deliver(&file()).unwrap_err().kind, FailureKind::Unknown);
    assert_eq!(slack.find(&file()).unwrap_err().code, "file_processing");
    let Ok(Finding::Sent(receipt)) = slack.find(&file()) else { panic!("not found") };
    assert_eq!(receipt.platform_id.as_deref(), Some("F1"));
}

#[test]
fn a_file_for_a_user_goes_to_their_conversation() {
    let mut part = file();
    part.route = serde_json::from_value(json!({"channel_id": "U1"})).unwrap();
    let slack = Slack::new(
        json!({}),
        vec![place(), Ok(Response::new(200, "")), ok(json!({"channel": {"id": "D1"}})), ok(json!({}))],
    );
    slack.deliver(&part).unwrap_err();
    slack.deliver(&part).unwrap();
    assert_eq!(slack.sent(3)["channel_id"], "D1");
}

#[test]
fn an_unknown_message_is_found_by_its_name() {
    let part = text(json!({"channel_id": "C1", "thread_ts": TS}), "hi");
    let ours = json!({"ts": "1.9", "metadata": {"event_type": METADATA, "event_payload": {"part": name(&part)}}});
    let page =
        |messages: Value, next: &str| ok(json!({"messages": messages, "response_metadata": {"next_cursor": next}}));
    let other = json!({"ts": "1.1", "text": "hi"});
    let slack = Slack::new(json!({}), vec![page(json!([other]), "next"), page(json!([other, ours]), "")]);
    let Ok(Finding::Sent(receipt)) = slack.find(&part) else { panic!("not found") };
    assert_eq!(receipt.platform_id.as_deref(), Some("1.9"));
    let asked = slack.sent(1).as_str().unwrap().to_owned();
    assert!(
        asked.contains("cursor=next")
            && asked.contains("oldest=1645557682.000000")
            && asked.contains("include_all_metadata=true")
    );
    let slack = Slack::new(json!({}), vec![page(json!([other]), ""), page(json!([]), "")]);
    assert!(matches!(slack.found(&part), Finding::Absent));
    assert_eq!(slack.calls(), ["conversations.replies", "conversations.history"]);
}

#[test]
fn where_nobody_can_look_nothing_is_claimed() {
    let part = text(json!({"channel_id": "C1"}), "hi");
    let endless = || ok(json!({"messages": [], "response_metadata": {"next_cursor": "more"}}));
    for answers in [vec![error("missing_scope")], vec![error("channel_not_found")], (0..5).map(|_| endless()).collect()]
    {
        assert!(matches!(Slack::new(json!({}), answers).found(&part), Finding::Undecidable));
    }
    assert!(matches!(Slack::new(json!({}), Vec::new()).found(&text(command(), "hi")), Finding::Undecidable));
    let flood = Ok(Response::new(429, "").with_header("retry-after", "9"));
    assert_eq!(Slack::new(json!({}), vec![flood]).find(&part).unwrap_err().retry_after_ms, Some(9_000));
    assert_eq!(
        Slack::new(json!({}), vec![error("token_revoked")]).find(&part).unwrap_err().kind,
        FailureKind::Unauthorized
    );
}
