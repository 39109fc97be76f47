//! Slash commands and interactivity.

use super::*;

const COMMAND: [(&str, &str); 12] = [
    ("token", "canary-token"),
    ("team_id", "T0001"),
    ("team_domain", "example"),
    ("enterprise_id", "E0001"),
    ("channel_id", "C2147483705"),
    ("channel_name", "test"),
    ("user_id", "U2147483697"),
    ("command", "/weather"),
    ("text", "94070 & <b>"),
    ("response_url", "https://hooks.slack.com/commands/1234/5678"),
    ("trigger_id", "13345224609.738474920.8088930838d88f008e0"),
    ("api_app_id", "A123456"),
];

fn form(settings: Value, fields: &[(&str, &str)]) -> Result<Answer, Refusal> {
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    send(settings, "application/x-www-form-urlencoded; charset=utf-8", &pairs.join("&"))
}

fn interact(settings: Value, payload: &Value) -> Result<Answer, Refusal> {
    form(settings, &[("payload", &payload.to_string())])
}

fn silent(response: Option<HttpResponse>) -> bool {
    response.is_some_and(|response| response.status == 200 && response.body.is_empty())
}

#[test]
fn a_command_is_an_event_that_is_answered_to_who_asked() {
    let (event, response) = accepted(form(json!({}), &COMMAND));
    assert!(silent(response), "anything said at once would be posted");
    assert_eq!((event.source_kind.as_str(), said(&event)), ("slash_command", "/weather 94070 & <b>"));
    assert_eq!((event.intent.as_deref(), event.actor.as_deref()), (Some("/weather"), Some("U2147483697")));
    assert_eq!(session(&event), "slack:support:enterprise:E0001:team:T0001:C2147483705:command:U2147483697");
    let route = route(&event);
    assert_eq!((route.thread_ts, route.user_id.as_deref()), (None, Some("U2147483697")));
    let opened = seal::open(&KEY, route.response.as_ref().unwrap());
    assert_eq!(opened.as_deref(), Some("https://hooks.slack.com/commands/1234/5678"));
    let everything = format!("{event:?}");
    for secret in ["hooks.slack.com", "canary-token", "13345224609"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

#[test]
fn a_command_that_is_sent_again_is_the_same() {
    let (first, again) = (accepted(form(json!({}), &COMMAND)).0, accepted(form(json!({}), &COMMAND)).0);
    assert_eq!(
        (&first.id, &first.fingerprint, &first.reply_route),
        (&again.id, &again.fingerprint, &again.reply_route)
    );
    let without: Vec<_> = COMMAND.iter().filter(|(name, _)| *name != "trigger_id").copied().collect();
    let (one, same) = (accepted(form(json!({}), &without)).0, accepted(form(json!({}), &without)).0);
    assert_eq!(one.id, same.id);
    assert_ne!(one.id, first.id);
    let mut other = without.clone();
    other[8].1 = "10001";
    assert_ne!(accepted(form(json!({}), &other)).0.id, one.id);
}

#[test]
fn commands_keep_to_the_lists_and_name_their_places() {
    assert_eq!(refused(form(json!({"allowed_channel_ids": ["C1"]}), &COMMAND)).0, 403);
    assert_eq!(refused(form(json!({"allowed_enterprise_ids": ["E1"]}), &COMMAND)).0, 403);
    for missing in ["channel_id", "user_id"] {
        let fields: Vec<_> = COMMAND.iter().filter(|(name, _)| *name != missing).copied().collect();
        assert_eq!(refused(form(json!({}), &fields)).0, 400, "{missing}");
    }
    assert!(
        matches!(form(json!({}), &[("ssl_check", "1"), ("token", "x")]), Ok(Answer::Respond(r)) if r.body.is_empty())
    );
    assert_eq!(told(form(json!({}), &[("token", "x")]))["reason"], "unsupported_envelope");
}

#[test]
fn an_open_connector_believes_no_address() {
    let context = Context { name: "support".to_owned(), settings: Settings::default() };
    let parsed =
        form::Form::parse(b"command=/x&channel_id=C1&user_id=U1&response_url=https%3A%2F%2Fevil.example").unwrap();
    let (event, _) = accepted(command::handle(&context, &parsed, None));
    assert_eq!(route(&event).response, None);
}

fn button() -> Value {
    json!({
        "type": "block_actions", "token": "canary-token", "api_app_id": "A02", "trigger_id": "12321423423.333649436676.d8c1",
        "team": {"id": "T9TK3CUKW", "domain": "example"}, "user": {"id": "UA8RXUSPL", "team_id": "T9TK3CUKW"},
        "channel": {"id": "CBR2V3XEX", "name": "review"}, "response_url": "https://hooks.slack.com/actions/1",
        "container": {"type": "message", "message_ts": "1548261231.000200", "channel_id": "CBR2V3XEX"},
        "message": {"ts": "1548261231.000200", "thread_ts": "1548261000.000100", "text": "Approve?"},
        "actions": [
            {"action_id": "approve", "type": "button", "value": "yes", "action_ts": "1548426417.840180"},
            {"action_id": "who", "type": "users_select", "selected_user": "U1"},
            {"action_id": "many", "type": "checkboxes", "selected_options": [{"value": "a"}, {"value": "b"}]},
        ],
    })
}

#[test]
fn a_button_belongs_to_the_thread_of_its_message() {
    let (event, response) = accepted(interact(json!({}), &button()));
    assert!(silent(response));
    assert_eq!(said(&event), "approve: yes\nwho: U1\nmany: a, b");
    assert_eq!((event.source_kind.as_str(), event.intent.as_deref()), ("block_actions", Some("approve")));
    assert_eq!(session(&event), "slack:support:team:T9TK3CUKW:CBR2V3XEX:1548261000.000100");
    assert_eq!(route(&event).thread_ts.as_deref(), Some("1548261000.000100"));
    assert_eq!(event.occurred_at_ms, Some(1_548_426_417_840));
    assert!(event.metadata.contains("Approve?"));
    let everything = format!("{event:?}");
    assert!(!everything.contains("hooks.slack.com") && !everything.contains("canary-token"));
    assert_eq!(refused(interact(json!({"allowed_channel_ids": ["C1"]}), &button())).0, 403);
    assert_eq!(accepted(interact(json!({}), &button())).0.id, event.id);
}

#[test]
fn a_dialogue_is_answered_to_its_user() {
    let view = json!({
        "type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1"}, "api_app_id": "A1", "trigger_id": "1.2.3",
        "view": {"id": "V2", "root_view_id": "V1", "callback_id": "leave", "state": {"values": {
            "b1": {"from": {"type": "datepicker", "selected_date": "2026-11-25"}},
            "b2": {"why": {"type": "plain_text_input", "value": "rest"}},
            "b3": {"kind": {"type": "static_select", "selected_option": {"value": "paid"}}},
        }}},
    });
    let event = accepted(interact(json!({}), &view)).0;
    assert_eq!(said(&event), "leave\nfrom: 2026-11-25\nwhy: rest\nkind: paid");
    assert_eq!((session(&event), route(&event).channel_id.as_str()), ("slack:support:team:T1:U1:V1", "U1"));
    assert_eq!(route(&event).thread_ts, None);
}

#[test]
fn shortcuts_are_events_and_what_waits_for_words_gets_none() {
    let base = |kind: &str| json!({"type": kind, "team": {"id": "T1"}, "user": {"id": "U1"}, "callback_id": "file_it"});
    let event = accepted(interact(json!({}), &base("shortcut"))).0;
    assert_eq!((said(&event), session(&event)), ("file_it", "slack:support:team:T1:U1:direct"));
    let mut on_message = base("message_action");
    on_message["channel"] = json!({"id": "C1"});
    on_message["message"] = json!({"ts": "1548261231.000200", "text": "broken"});
    let event = accepted(interact(json!({}), &on_message)).0;
    assert_eq!((said(&event), session(&event)), ("file_it\nbroken", "slack:support:team:T1:C1:1548261231.000200"));
    assert_eq!(told(interact(json!({}), &base("block_suggestion"))), json!({"options": []}));
    assert_eq!(told(interact(json!({}), &base("something_new")))["reason"], "unsupported_interaction");
    assert_eq!(refused(interact(json!({}), &json!({"type": "shortcut"}))).1, "missing_user");
    assert_eq!(refused(form(json!({}), &[("payload", "[]")])).1, "invalid_payload");
}
