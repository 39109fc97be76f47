//! Edits and deletions.

use super::*;

fn inner(extra: Value) -> Value {
    let mut message = json!({"type": "message", "user": "U2147483697", "text": "Live long", "ts": "1355517523.000005"});
    for (name, value) in extra.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

fn changed(new: Value, old: Value) -> Value {
    json!({"subtype": "message_changed", "user": null, "text": null, "hidden": true, "ts": "1355517536.000001",
        "event_ts": "1355517536.000001", "message": inner(new), "previous_message": inner(old)})
}

fn edit() -> Value {
    changed(json!({"text": "and prosper", "edited": {"user": "U1", "ts": "1355517536.000000"}}), json!({}))
}

fn ignored(settings: Value, extra: Value) -> bool {
    told(post(settings, &envelope(extra)))["reason"] == "unsupported_message_subtype"
}

#[test]
fn an_edit_points_at_what_was_edited() {
    let (original, edited) = (message(json!({})), message(edit()));
    let relation = edited.relation.clone().unwrap();
    assert_eq!((relation.kind.as_str(), Some(&relation.target_event_id)), ("edit", original.id.as_ref()));
    assert_eq!(edited.id, original.id.as_ref().map(|id| format!("{id}:edit:1355517536.000000")));
    assert_eq!((said(&edited), edited.actor.as_deref()), ("and prosper", Some("U1")));
    assert_eq!(session(&edited), session(&original));
    assert_eq!((edited.occurred_at_ms, route(&edited)), (Some(1_355_517_536_000), route(&original)));
    let second = changed(json!({"text": "three", "edited": {"user": "U1", "ts": "1355517540.000000"}}), json!({}));
    assert_ne!(message(second).id, edited.id);
}

#[test]
fn a_preview_is_no_edit() {
    assert!(ignored(json!({}), changed(json!({"attachments": [{"text": "a preview"}]}), json!({}))));
    let same = json!({"edited": {"user": "U1", "ts": "1355517536.000000"}});
    assert!(ignored(json!({}), changed(same.clone(), same)));
    assert!(ignored(json!({"edits": false}), edit()));
}

#[test]
fn what_the_app_itself_changed_is_ignored() {
    for own in [json!({"bot_id": "B1"}), json!({"user": "U0BOT"}), json!({"app_id": "A0FFV41KK"})] {
        let mut new = own.clone();
        new["edited"] = json!({"user": "U0BOT", "ts": "1355517536.000000"});
        assert!(ignored(json!({}), changed(new, own.clone())), "{own}");
        let gone = json!({"subtype": "message_deleted", "user": null, "deleted_ts": "1355517523.000005", "previous_message": inner(own)});
        assert!(ignored(json!({}), gone));
    }
}

#[test]
fn a_deletion_points_at_what_was_deleted_and_is_not_answered() {
    let original = message(json!({"ts": "1355517600.000001", "thread_ts": "1355517523.000005"}));
    let before = json!({"ts": "1355517600.000001", "thread_ts": "1355517523.000005"});
    let gone = json!({"subtype": "message_deleted", "user": null, "text": null, "ts": "1355517700.000001",
        "deleted_ts": "1355517600.000001", "previous_message": inner(before)});
    let deleted = message(gone.clone());
    let relation = deleted.relation.clone().unwrap();
    assert_eq!((relation.kind.as_str(), Some(&relation.target_event_id)), ("delete", original.id.as_ref()));
    assert_eq!(session(&deleted), session(&original));
    assert_eq!((said(&deleted), deleted.reply_route.as_ref()), ("Live long", None));
    assert!(ignored(json!({"deletions": false}), gone));
    assert_eq!(refused(post(json!({}), &envelope(json!({"subtype": "message_deleted"})))).1, "missing_ts");
}

#[test]
fn the_first_message_of_a_thread_leaves_a_stone() {
    let stone =
        changed(json!({"subtype": "tombstone", "text": "This message was deleted.", "user": "USLACKBOT"}), json!({}));
    let deleted = message(stone.clone());
    assert_eq!(deleted.relation.unwrap().kind, "delete");
    assert!(matches!(&deleted.input[..], [InputPart::Text(text)] if text == "Live long"));
    assert!(ignored(json!({"deletions": false}), stone));
}
