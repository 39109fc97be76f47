//! Updates as Telegram sends them, one rule each.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn made(settings: Value, update: Value) -> Result<Event, Skip> {
    let update: Update = serde_json::from_value(update).unwrap();
    of("bot", &serde_json::from_value(settings).unwrap(), &update)
}

/// A message from a person in a private chat, with these members beside.
fn message(extra: Value) -> Value {
    let mut message = json!({
        "message_id": 20, "date": 1_700_000_000,
        "chat": {"id": 5, "type": "private", "first_name": "Ada"},
        "from": {"id": 5, "is_bot": false, "first_name": "Ada", "language_code": "en"},
    });
    message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    message
}

fn group(extra: Value) -> Value {
    let mut message =
        message(json!({"chat": {"id": -100_123, "type": "supergroup", "title": "Team", "is_forum": true}}));
    message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    message
}

fn event(extra: Value) -> Event {
    made(json!({}), json!({"update_id": 7, "message": message(extra)})).unwrap()
}

fn texts(event: &Event) -> Vec<&str> {
    let texts = event.input.iter().filter_map(|part| match part {
        InputPart::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn id(event: &Event) -> &str {
    match &event.session {
        SessionKey::SessionId(id) => id,
        _ => panic!("no session id"),
    }
}

fn route(event: &Event) -> Value {
    serde_json::from_str(event.reply_route.as_deref().unwrap()).unwrap()
}

#[test]
fn a_message_is_an_event_as_the_contract_has_it() {
    let event = event(json!({"text": "hello"}));
    assert_eq!(event.id.as_deref(), Some("7"));
    assert_eq!((event.source_kind.as_str(), event.actor.as_deref()), ("bot", Some("5")));
    assert_eq!(event.occurred_at_ms, Some(1_700_000_000_000));
    assert_eq!((id(&event), texts(&event)), ("telegram:bot:5", vec!["hello"]));
    assert_eq!(route(&event), json!({"chat_id": 5}));
    assert!(event.relation.is_none());
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
    assert_eq!(metadata["telegram_update_id"], 7);
    assert_eq!(metadata["telegram"]["messages"], json!([20]));
    assert_eq!(metadata["telegram"]["from"]["language_code"], "en");
}

#[test]
fn a_topic_is_a_conversation_of_its_own_and_a_thread_of_replies_is_not() {
    let sent = |extra: Value| {
        let mut message = group(json!({"text": "a"}));
        message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        made(json!({}), json!({"update_id": 7, "message": message})).unwrap()
    };
    let topic = sent(json!({"message_thread_id": 9, "is_topic_message": true}));
    assert_eq!(id(&topic), "telegram:bot:-100123:9");
    assert_eq!(route(&topic), json!({"chat_id": -100_123, "message_thread_id": 9, "reply_to_message_id": 20}));
    let thread = sent(json!({"message_thread_id": 9}));
    assert_eq!(id(&thread), "telegram:bot:-100123");
    assert_eq!(route(&thread), json!({"chat_id": -100_123, "reply_to_message_id": 20}));
}

#[test]
fn an_edit_points_to_what_it_changes() {
    let edited = json!({"text": "better", "edit_date": 1_700_000_060});
    for (kind, member) in [("edited_message", "edited_message"), ("edited_channel_post", "edited_channel_post")] {
        let event = made(json!({}), json!({"update_id": 8, member: message(edited.clone())})).unwrap();
        let relation = event.relation.as_ref().unwrap();
        assert_eq!((event.source_kind.as_str(), relation.kind.as_str()), (kind, "edit"));
        assert_eq!(relation.target_event_id, "5/20");
        assert_eq!(event.occurred_at_ms, Some(1_700_000_060_000));
    }
}

#[test]
fn a_reply_points_to_what_it_answers_unless_that_only_opened_the_topic() {
    let replied = json!({"message_id": 3, "text": "question"});
    assert_eq!(event(json!({"text": "a", "reply_to_message": replied})).relation.unwrap().target_event_id, "5/3");
    let opened = json!({"message_id": 3, "forum_topic_created": {"name": "t"}});
    assert!(event(json!({"text": "a", "reply_to_message": opened})).relation.is_none());
}

#[test]
fn a_channel_speaks_for_itself() {
    let post = json!({
        "message_id": 4, "date": 1, "chat": {"id": -1009, "type": "channel", "title": "News"},
        "sender_chat": {"id": -1009, "type": "channel", "title": "News"}, "text": "news",
    });
    let event = made(json!({}), json!({"update_id": 1, "channel_post": post})).unwrap();
    assert_eq!((event.source_kind.as_str(), event.actor.as_deref()), ("channel_post", Some("-1009")));
    assert_eq!(route(&event), json!({"chat_id": -1009}));
}

#[test]
fn a_button_says_its_data() {
    let query = json!({"id": "q", "from": {"id": 8, "first_name": "Bo"}, "message": message(json!({})), "data": "yes"});
    let event = made(json!({}), json!({"update_id": 2, "callback_query": query})).unwrap();
    assert_eq!((texts(&event), event.actor.as_deref()), (vec!["yes"], Some("8")));
    assert_eq!(event.relation.as_ref().unwrap().target_event_id, "5/20");
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
    assert_eq!(metadata["telegram"]["callback_query_id"], "q");
    assert_eq!(metadata["telegram"]["from"]["first_name"], "Bo");
    for missing in ["data", "message"] {
        let mut query = query.clone();
        query.as_object_mut().unwrap().remove(missing);
        let skipped = made(json!({}), json!({"update_id": 2, "callback_query": query}));
        assert_eq!(skipped.unwrap_err(), Skip::UnsupportedCallback);
    }
}

#[test]
fn a_caption_stands_before_its_file() {
    let event = event(json!({"document": {"file_id": "d", "file_unique_id": "u"}, "caption": "see"}));
    assert!(matches!(&event.input[..], [InputPart::Text(text), InputPart::RemoteFile(_)] if text == "see"));
}

#[test]
fn what_is_no_text_and_no_file_is_told_in_words_or_left_alone() {
    let place = json!({"latitude": 52.5, "longitude": 13.4});
    assert_eq!(texts(&event(json!({"location": place}))), ["Location: 52.5, 13.4"]);
    let venue = json!({"title": "Gate", "address": "Square 1", "location": place});
    assert_eq!(texts(&event(json!({"location": place, "venue": venue}))), ["Location: Gate, Square 1 (52.5, 13.4)"]);
    let contact = json!({"phone_number": "+491", "first_name": "Ada", "last_name": "L"});
    assert_eq!(texts(&event(json!({"contact": contact}))), ["Contact: Ada L, +491"]);
    let joined = json!({"update_id": 1, "message": message(json!({"new_chat_members": [{"id": 1}]}))});
    assert_eq!(made(json!({}), joined).unwrap_err(), Skip::UnsupportedMessage);
}

#[test]
fn a_test_event_is_answered_to_nobody() {
    let event =
        made(json!({}), json!({"update_id": "kheishd-test-1", "message": message(json!({"text": "a"}))})).unwrap();
    assert_eq!((event.id.as_deref(), event.reply_route), (Some("kheishd-test-1"), None));
}

#[test]
fn lists_and_bots() {
    let by = |settings: Value, from: Value, extra: Value| {
        let mut message = group(json!({"text": "a", "from": from}));
        message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        made(settings, json!({"update_id": 1, "message": message})).err()
    };
    let (person, bot) = (json!({"id": 5}), json!({"id": 6, "is_bot": true}));
    assert_eq!(by(json!({"allowed_chat_ids": [-100_123]}), person.clone(), json!({})), None);
    assert_eq!(by(json!({"allowed_chat_ids": [5]}), person.clone(), json!({})), Some(Skip::ChatNotAllowed));
    assert_eq!(by(json!({"allowed_user_ids": [5]}), person.clone(), json!({})), None);
    assert_eq!(by(json!({"allowed_user_ids": [6]}), person, json!({})), Some(Skip::UserNotAllowed));
    assert_eq!(by(json!({}), bot.clone(), json!({})), Some(Skip::BotMessage));
    assert_eq!(by(json!({"ignore_bots": false}), bot.clone(), json!({})), None);
    let anonymous = json!({"sender_chat": {"id": -100_123, "type": "supergroup"}});
    assert_eq!(by(json!({}), bot, anonymous), None, "an anonymous administrator is a person");
}

#[test]
fn pictures_of_an_album_belong_together_and_their_edits_do_not() {
    let picture = |number: i64| {
        let photo = json!([{"file_id": "f", "file_unique_id": "u", "width": 9, "height": 9}]);
        message(json!({"message_id": number, "media_group_id": "g", "photo": photo, "caption": "see"}))
    };
    let settle = |kind: &str, number: i64| {
        made(json!({"album_settle_ms": 300}), json!({"update_id": 1, kind: picture(number)})).unwrap().settle
    };
    for kind in ["message", "channel_post"] {
        let settle = settle(kind, 31).unwrap();
        assert_eq!((settle.group.as_str(), settle.after_ms, settle.position), ("g", 300, 31), "{kind}");
    }
    assert!(settle("edited_message", 31).is_none() && settle("edited_channel_post", 31).is_none());
    assert!(event(json!({"text": "a"})).settle.is_none());
}

#[test]
fn the_fingerprint_holds_what_matters_and_nothing_that_changes_by_itself() {
    let of = |extra: Value| event(extra).fingerprint.unwrap();
    let plain = of(json!({"text": "a"}));
    assert_eq!(plain, of(json!({"text": "a", "from": {"id": 5, "first_name": "Renamed"}, "reply_markup": {}})));
    let file = |id: &str, unique: &str| of(json!({"document": {"file_id": id, "file_unique_id": unique}}));
    assert_eq!(file("a", "u"), file("b", "u"), "ids of files differ from call to call");
    for other in [
        of(json!({"text": "b"})),
        of(json!({"text": "a", "message_id": 21})),
        of(json!({"text": "a", "date": 2})),
        of(json!({"text": "a", "from": {"id": 6}})),
        file("a", "u"),
        file("a", "v"),
    ] {
        assert_ne!(plain, other);
    }
    assert_ne!(file("a", "u"), file("a", "v"));
}

proptest! {
    #[test]
    fn any_members_of_any_type_make_an_event_a_reason_or_an_error(
        numbers in prop::collection::vec(any::<i64>(), 4),
        text in prop::option::of("\\PC{0,40}"),
        caption in prop::option::of("\\PC{0,40}"),
        topic in any::<bool>(),
    ) {
        let body = json!({"update_id": numbers[0], "message": {
            "message_id": numbers[1], "chat": {"id": numbers[2], "type": "supergroup"}, "date": numbers[0].unsigned_abs(),
            "message_thread_id": numbers[3], "is_topic_message": topic, "text": text, "caption": caption,
        }});
        match made(json!({}), body) {
            Ok(event) => {
                prop_assert_eq!(id(&event).split(':').count(), if topic { 4 } else { 3 });
                prop_assert_eq!(route(&event)["chat_id"].as_i64(), Some(numbers[2]));
                prop_assert!(event.input.len() == 1);
            }
            Err(skip) => {
                prop_assert_eq!(skip, Skip::UnsupportedMessage);
                prop_assert!(text.unwrap_or_default().is_empty() && caption.unwrap_or_default().is_empty());
            }
        }
    }
}
