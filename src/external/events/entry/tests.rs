//! What stands against an event, and what becomes of one against which nothing does.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Clock,
    config::gathering::GatherSettings,
    external::events::payload::Read,
    model::{ids::ConnectorId, run::RunInput},
};

fn rules() -> Rules {
    Rules {
        connector: ConnectorId { kind: KIND.to_owned(), name: "bridge".to_owned() },
        fixed_session: None,
        executor: None,
        create_sessions: true,
        payload_reply_targets: false,
        delivers: true,
        default_reply_targets: Vec::new(),
        include_self_output: true,
        additional_reply_targets: Vec::new(),
        fetches: false,
        gathering: GatherSettings::default(),
    }
}

fn prepared_by(bounds: &SidecarSettings, open: bool, changes: &[(&str, Value)]) -> Result<Entry, String> {
    let mut event = json!({ "instance_id": "i", "event_id": "e", "routing_key": "k", "content": "hello" });
    for (member, value) in changes {
        event[*member] = value.clone();
    }
    let settings = serde_json::from_value(json!({ "platform": "forge", "base_url": "http://a.example" })).unwrap();
    let rules = rules();
    prepared_at(Desk { rules: &rules, settings: &settings, bounds, open, instance: None }, &event)
}

fn prepared_at(desk: Desk<'_>, event: &Value) -> Result<Entry, String> {
    match Read::one(event.to_string().as_bytes()).map_err(|(_, detail)| detail)? {
        Read::Event(event, version) => desk.prepare(*event, version, Clock::system().run_id()),
        Read::Rejected(_, reason) => Err(reason),
    }
}

fn prepared(changes: &[(&str, Value)]) -> Result<Entry, String> {
    prepared_by(&SidecarSettings::default(), false, changes)
}

fn key(changes: &[(&str, Value)]) -> [u8; 32] {
    prepared(changes).unwrap().key.unwrap().fingerprint
}

fn file(name: &str, base64: &str) -> Value {
    json!({ "type": "inline_asset", "file_name": name, "content_base64": base64 })
}

#[test]
fn what_is_blank_is_rejected() {
    assert_eq!(key(&[("event_id", json!(" e "))]), key(&[("event_id", json!("e"))]));
    let relation = |kind: &str, target: &str| json!({ "kind": kind, "target_event_id": target });
    for (member, value) in [
        ("instance_id", json!(" ")),
        ("event_id", json!("")),
        ("intent", json!(" ")),
        ("routing_key", json!("")),
        ("relation", relation("", "e0")),
        ("relation", relation("edit", "\t")),
        ("content", json!("")),
        ("content", json!(null)),
    ] {
        assert!(prepared(&[(member, value.clone())]).is_err(), "{member} {value}");
    }
    assert!(prepared(&[("relation", relation("edit", "e0")), ("intent", json!("ask"))]).is_ok());
}

#[test]
fn files_keep_what_can_be_kept_of_their_names() {
    let named = |name: &str, media_type: Value| {
        let mut file = file(name, "aGk=");
        file["media_type"] = media_type;
        let part = prepared(&[("attachments", json!([file]))]).unwrap().request.input.pop();
        let Some(RunInput::Asset { file_name, media_type, .. }) = part else { panic!("{part:?}") };
        (file_name.unwrap_or_default(), media_type.unwrap_or_default())
    };
    assert_eq!(named("two\nlines.png", json!("image/png")), ("two lines.png".to_owned(), "image/png".to_owned()));
    assert_eq!(named("", json!("image")), ("file".to_owned(), "application/octet-stream".to_owned()));
    assert_eq!(named(&"ü".repeat(200), Value::Null).0.len(), 254);
}

#[test]
fn events_of_another_life_are_rejected_where_the_life_is_known() {
    let settings = serde_json::from_value(json!({ "platform": "forge", "base_url": "http://a.example" })).unwrap();
    let (rules, bounds) = (rules(), SidecarSettings::default());
    let desk = Desk { rules: &rules, settings: &settings, bounds: &bounds, open: false, instance: Some("i") };
    let event = |instance: &str| json!({ "instance_id": instance, "event_id": "e", "content": "hello" });
    assert!(prepared_at(desk, &event("i")).is_ok());
    assert!(prepared_at(desk, &event("j")).unwrap_err().contains("manifest"));
}

#[test]
fn content_comes_in_one_of_two_ways() {
    let text = json!([{ "type": "text", "text": "a" }]);
    assert!(prepared(&[("input_items", text.clone())]).unwrap_err().contains("without `content`"));
    assert!(prepared(&[("content", json!(" ")), ("input_items", text.clone())]).is_ok());
    let both = [("content", json!("")), ("input_items", text.clone()), ("attachments", json!([file("a", "")]))];
    assert!(prepared(&both).is_err());
    assert!(prepared(&[("attachments", text)]).unwrap_err().contains("are files"));
    assert!(prepared(&[("content", json!("")), ("attachments", json!([file("a.txt", "aGk=")]))]).is_ok());
    for wrong in [file("a", "aGk"), file("a", "a b"), json!({ "type": "board_reference", "board_id": "b" })] {
        assert!(prepared(&[("attachments", json!([wrong.clone()]))]).is_err(), "{wrong}");
    }
    let reference = json!([{ "type": "asset_reference", "asset_id": "ab" }]);
    assert!(prepared(&[("attachments", reference.clone())]).is_ok());
    let open = prepared_by(&SidecarSettings::default(), true, &[("attachments", reference)]);
    assert!(open.unwrap_err().contains("shared_token"));
}

#[test]
fn every_bound_is_exact() {
    let bounds = SidecarSettings {
        content_bytes: 5,
        input_items: 2,
        attachments: 2,
        inline_bytes: 3,
        identity_bytes: 6,
        ..SidecarSettings::default()
    };
    let items = |count: usize| json!(vec![json!({ "type": "text", "text": "a" }); count]);
    let files = |count: usize| json!(vec![file("a", "aGk="); count]);
    let none = ("content", json!(""));
    for (fits, not) in [
        (vec![("content", json!("12345"))], vec![("content", json!("123456"))]),
        (vec![none.clone(), ("input_items", items(2))], vec![none.clone(), ("input_items", items(3))]),
        (vec![("attachments", files(2))], vec![("attachments", files(3))]),
        (vec![("attachments", json!([file("a", "YWJj")]))], vec![("attachments", json!([file("a", "YWJjZA==")]))]),
        (vec![("event_id", json!("123456"))], vec![("event_id", json!("1234567"))]),
        (vec![("routing_key", json!("123456"))], vec![("routing_key", json!("1234567"))]),
        (vec![("thread", json!({ "path": ["123", "456"] }))], vec![("thread", json!({ "path": ["123", "4567"] }))]),
    ] {
        assert!(prepared_by(&bounds, false, &fits).is_ok(), "{fits:?}");
        assert!(prepared_by(&bounds, false, &not).unwrap_err().contains("sidecars."), "{not:?}");
    }
}

#[test]
fn the_host_s_metadata_wins() {
    let sent =
        json!({ "a": 1, "external_event_id": "forged", "external_intent": "forged", "occurred_at_ms": "forged" });
    let entry = prepared(&[("metadata", sent), ("occurred_at_ms", json!(5)), ("protocol_version", json!(1))]).unwrap();
    let metadata: Value = serde_json::from_str(entry.request.metadata.get()).unwrap();
    let digest = hex::encode(Sha256::digest("e"));
    assert_eq!(
        metadata,
        json!({
            "a": 1, "occurred_at_ms": 5, "external_instance_id": "i", "external_event_id": "e",
            "connector_ingress_key": format!("external:bridge:{}", &digest[..32]), "external_event_key_sha256": digest,
            "external_event_fingerprint": hex::encode(entry.key.unwrap().fingerprint), "external_protocol_version": 1,
            "external_routing_key": "k",
        })
    );
    let wrapped = prepared(&[("metadata", json!([1]))]).unwrap();
    assert!(wrapped.request.metadata.get().contains(r#""source_metadata":[1]"#));
}

#[test]
fn a_repetition_is_known_whenever_it_is_said_to_have_happened() {
    let first = key(&[("occurred_at_ms", json!(1))]);
    for same in [
        vec![("occurred_at_ms", json!(2))],
        vec![("instance_id", json!("another life"))],
        vec![("protocol_version", json!(1))],
        vec![("attachments", json!([])), ("input_items", json!(null)), ("unknown", json!(1))],
    ] {
        assert_eq!(key(&same), first, "{same:?}");
    }
    for (member, value) in [
        ("fingerprint", json!("f")),
        ("actor_id", json!("a")),
        ("source_kind", json!("s")),
        ("intent", json!("i")),
        ("relation", json!({ "kind": "k", "target_event_id": "t" })),
        ("thread", json!({ "path": ["p"] })),
        ("routing_key", json!("other")),
        ("content", json!("other")),
        ("attachments", json!([file("a", "aGk=")])),
        ("reply_route", json!("r")),
        ("metadata", json!({ "a": 1 })),
    ] {
        assert_ne!(key(&[(member, value)]), first, "{member}");
    }
}

#[test]
fn an_answer_goes_along_the_route() {
    let targets = |route: Value| prepared(&[("reply_route", route)]).unwrap().request.reply_targets;
    let own = targets(json!("channel:7"));
    assert_eq!(own.len(), 1);
    let address: Value = serde_json::from_str(&own[0].address).unwrap();
    assert_eq!((own[0].plugin.as_str(), address), (KIND, json!({ "connector": "bridge", "route": "channel:7" })));
    assert!(targets(json!(null)).is_empty() && targets(json!(" ")).is_empty());
    assert!(prepared(&[("reply_route", json!("x".repeat(9_000)))]).is_err());
}

#[test]
fn who_and_what_have_defaults() {
    let request = prepared(&[]).unwrap().request;
    assert_eq!((request.source_plugin.as_str(), request.source_kind.as_str()), ("external", "forge"));
    assert_eq!(request.actor.as_deref(), Some("external-user"));
}

proptest! {
    #[test]
    fn no_event_is_a_panic(id in "\\PC{0,12}", path in prop::collection::vec("\\PC{0,6}", 0..4), text in "\\PC{0,20}") {
        let changes = [("event_id", json!(id)), ("thread", json!({ "path": path })), ("content", json!(text))];
        let ready = prepared(&changes);
        prop_assert_eq!(ready.is_ok(), !id.trim().is_empty() && !text.is_empty());
    }
}
