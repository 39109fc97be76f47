//! Events made ready for the writer: hashed, addressed, and with the host's own metadata. No I/O, so that none of this
//! work is done inside the transaction.

use serde_json::{Map, Value, json, value::to_raw_value};
use sha2::{Digest, Sha256};

use super::accept::{Entry, Gathers, Key};
use crate::{
    clock::Clock,
    config::gathering::GatherSettings,
    connectors::Fault,
    delivery::targets,
    model::{
        event::{Event, InputPart, Settle},
        ids::{ConnectorId, SessionId},
        run::{RunInput, RunRequest},
        target::ReplyTarget,
    },
    sessions::placement::Placement,
    store::assets::NewAsset,
};

/// What the host adds to events of one connector.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose events they are.
    pub connector: ConnectorId,
    /// Where all of them go.
    pub fixed_session: Option<SessionId>,
    /// Who performs the runs of sessions that are made; the default one when absent.
    pub executor: Option<String>,
    /// Whether unknown sessions are made.
    pub create_sessions: bool,
    /// Whether events may name targets: the operator's `allow_payload_reply_targets`. A plugin cannot grant it to itself.
    pub payload_reply_targets: bool,
    /// Whether the connector sends too, so that an event can be answered where it came from.
    pub delivers: bool,
    /// Where outputs go when the event names no target and no route back.
    pub default_reply_targets: Vec<ReplyTarget>,
    /// Whether an event that came with a route is answered along it.
    pub include_self_output: bool,
    /// Where outputs of such an event go beside its route, after it.
    pub additional_reply_targets: Vec<ReplyTarget>,
    /// Whether the connector fetches files that its events name.
    pub fetches: bool,
    /// How long events of one group may keep their run waiting, and how many they may be.
    pub gathering: GatherSettings,
}

/// Makes one event ready.
pub fn prepare(rules: &Rules, event: Event, clock: &Clock) -> Result<Entry, Fault> {
    if !event.reply_targets.is_empty() && !rules.payload_reply_targets {
        return Err(contract("named reply targets, but the connector's allow_payload_reply_targets is not true"));
    }
    let placement = Placement::new(&rules.connector, &event.session, event.binding_keys.clone())
        .map_err(|error| contract(&format!("named an invalid session: {error}")))?
        .fixed(rules.fixed_session.as_ref())
        .creating(rules.create_sessions);
    let key = event
        .key
        .as_deref()
        .map(|key| Key { receipt: receipt_key(&rules.connector.to_string(), key), fingerprint: fingerprint(&event) });
    let (input, assets) = split_input(event.input);
    let mut metadata = event.metadata;
    if let (Some(text), Some(key)) = (event.key.as_deref(), &key) {
        add_ingress_metadata(&mut metadata, &rules.connector, text, &key.fingerprint);
    }
    add_event_facts(&mut metadata, event.occurred_at_ms, event.intent, event.relation);
    let own = event.reply_route.as_deref().map(|route| own_target(rules, route)).transpose()?;
    let write_back = !event.reply_targets.is_empty();
    let reply_targets = match own {
        _ if !event.reply_targets.is_empty() => event.reply_targets,
        Some(own) => routed_targets(rules, own),
        None => rules.default_reply_targets.clone(),
    };
    let request = RunRequest {
        source_plugin: rules.connector.kind.clone(),
        source_kind: event.source_kind,
        actor: event.actor,
        input,
        metadata: to_raw_value(&metadata).map_err(|error| Fault::Host(error.into()))?,
        reply_targets,
    };
    let (run, executor) = (clock.run_id(), rules.executor.clone());
    let gathers = event.settle.map(|settle| gathers(rules, &settle));
    Ok(Entry { run, key, placement, request, write_back, executor, assets, fetch: rules.fetches, gathers })
}

fn gathers(rules: &Rules, settle: &Settle) -> Gathers {
    let GatherSettings { longest_ms, max_events } = rules.gathering;
    let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Gathers {
        key: receipt_key(&rules.connector.to_string(), &settle.group),
        position: settle.position,
        wait_ms: millis(settle.after_ms),
        longest_ms: millis(longest_ms),
        most: max_events,
    }
}

/// Where answers to an event with a route go: along it, then to the targets beside it. Where neither is wanted, as if it had
/// come without one.
pub fn routed_targets(rules: &Rules, own: ReplyTarget) -> Vec<ReplyTarget> {
    let own = rules.include_self_output.then_some(own);
    let all = targets::distinct(own.into_iter().chain(rules.additional_reply_targets.iter().cloned()).collect());
    if all.is_empty() { rules.default_reply_targets.clone() } else { all }
}

/// Back to where the event came from. The route is the plugin's own word to itself and is not checked by it again.
fn own_target(rules: &Rules, route: &str) -> Result<ReplyTarget, Fault> {
    if !rules.delivers {
        return Err(contract("gave a reply route, but it does not export `delivery`"));
    }
    targets::of_route(&rules.connector, route)
        .map_err(|reason| contract(&format!("gave a wrong reply route: {reason}")))
}

/// The first 16 bytes of SHA-256 over source and key; the length keeps the two apart.
pub fn receipt_key(source: &str, key: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((source.len() as u64).to_be_bytes());
    hash.update(source);
    hash.update(key);
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

/// SHA-256 of the plugin's fingerprint text, or of the event itself.
fn fingerprint(event: &Event) -> [u8; 32] {
    match &event.fingerprint {
        Some(text) => Sha256::digest(text).into(),
        None => {
            let inputs: Vec<Value> = event.input.iter().map(describe_input).collect();
            let whole = json!([
                event.actor,
                event.source_kind,
                event.intent,
                event.relation,
                event.binding_keys,
                inputs,
                event.metadata
            ]);
            Sha256::digest(whole.to_string()).into()
        }
    }
}

fn describe_input(part: &InputPart) -> Value {
    match part {
        InputPart::Text(text) => json!(["text", text]),
        InputPart::RemoteFile(file) => json!(["remote", file.locator]),
        InputPart::InlineFile(file) => {
            json!(["inline", file.name, file.media_type, hex::encode(Sha256::digest(&file.data))])
        }
        InputPart::Asset(id) => json!(["asset", id]),
    }
}

/// Turns a plugin's input into a run's; files that came along become assets.
pub fn split_input(parts: Vec<InputPart>) -> (Vec<RunInput>, Vec<NewAsset>) {
    let mut assets = Vec::new();
    let input = parts
        .into_iter()
        .map(|part| match part {
            InputPart::Text(text) => RunInput::Text { text },
            InputPart::RemoteFile(file) => RunInput::RemoteFile(file),
            InputPart::Asset(asset_id) => RunInput::Asset { asset_id, file_name: None, media_type: None },
            InputPart::InlineFile(file) => {
                let id = hex::encode(Sha256::digest(&file.data));
                assets.push(NewAsset { id: id.clone(), media_type: file.media_type.clone(), data: file.data });
                RunInput::Asset { asset_id: id, file_name: Some(file.name), media_type: Some(file.media_type) }
            }
        })
        .collect();
    (input, assets)
}

/// The four reserved keys (contract section 3.2), named after the kind.
fn add_ingress_metadata(metadata: &mut Map<String, Value>, connector: &ConnectorId, key: &str, fingerprint: &[u8; 32]) {
    let digest = hex::encode(Sha256::digest(key));
    let kind = &connector.kind;
    let ingress_key = format!("{kind}:{}:{}", connector.name, &digest[..32]);
    metadata.insert("connector_ingress_key".to_owned(), ingress_key.clone().into());
    metadata.insert(format!("{kind}_ingress_key"), ingress_key.into());
    metadata.insert(format!("{kind}_ingress_key_sha256"), digest.into());
    metadata.insert(format!("{kind}_ingress_fingerprint"), hex::encode(fingerprint).into());
}

/// What the event says of itself beyond its content, under names that start with `event_`.
fn add_event_facts(
    metadata: &mut Map<String, Value>,
    occurred_at_ms: Option<u64>,
    intent: Option<String>,
    relation: Option<crate::model::event::Relation>,
) {
    if let Some(at) = occurred_at_ms {
        metadata.insert("event_occurred_at_ms".to_owned(), at.into());
    }
    if let Some(intent) = intent {
        metadata.insert("event_intent".to_owned(), intent.into());
    }
    if let Some(relation) = relation {
        metadata.insert("event_relation".to_owned(), json!(relation));
    }
}

fn contract(what: &str) -> Fault {
    Fault::Contract(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::SessionKey;

    fn rules(payload_reply_targets: bool) -> Rules {
        let connector = ConnectorId { kind: "http".to_owned(), name: "orders".to_owned() };
        Rules {
            connector,
            fixed_session: None,
            executor: None,
            create_sessions: true,
            payload_reply_targets,
            delivers: false,
            default_reply_targets: vec![target("https://operator.example/")],
            include_self_output: true,
            additional_reply_targets: Vec::new(),
            fetches: false,
            gathering: GatherSettings::default(),
        }
    }

    fn target(address: &str) -> ReplyTarget {
        ReplyTarget { plugin: "http".to_owned(), address: address.to_owned() }
    }

    fn event(reply_targets: Vec<ReplyTarget>) -> Event {
        Event {
            key: None,
            fingerprint: None,
            occurred_at_ms: None,
            actor: None,
            source_kind: "orders".to_owned(),
            intent: None,
            relation: None,
            session: SessionKey::SessionId("s".to_owned()),
            binding_keys: Vec::new(),
            input: vec![InputPart::Text("hello".to_owned())],
            reply_route: None,
            reply_targets,
            settle: None,
            metadata: Map::new(),
        }
    }

    #[test]
    fn answers_go_where_the_operator_lets_them() {
        let clock = Clock::system();
        let chosen = || event(vec![target("https://elsewhere.example/")]);
        assert!(matches!(prepare(&rules(false), chosen(), &clock), Err(Fault::Contract(_))));
        let allowed = prepare(&rules(true), chosen(), &clock).unwrap();
        assert_eq!(allowed.request.reply_targets, [target("https://elsewhere.example/")]);
        let silent = prepare(&rules(false), event(Vec::new()), &clock).unwrap();
        assert_eq!(silent.request.reply_targets, [target("https://operator.example/")]);
    }

    #[test]
    fn groups_of_connectors_are_their_own_and_keep_to_the_limits() {
        let clock = Clock::system();
        let settle = |group: &str, after_ms| Some(Settle { group: group.to_owned(), after_ms, position: 7 });
        let of = |rules: &Rules, settle| {
            prepare(rules, Event { settle, ..event(Vec::new()) }, &clock).unwrap().gathers.unwrap()
        };
        let own = of(&rules(false), settle("a", 1_000_000));
        assert_eq!((own.wait_ms, own.longest_ms, own.most, own.position), (1_000_000, 15_000, 16, 7));
        let connector = ConnectorId { kind: "http".to_owned(), name: "other".to_owned() };
        assert_eq!(own.key, of(&rules(false), settle("a", 5)).key);
        assert_ne!(own.key, of(&rules(false), settle("b", 5)).key);
        assert_ne!(own.key, of(&Rules { connector, ..rules(false) }, settle("a", 5)).key);
    }

    #[test]
    fn targets_beside_the_route_come_after_it_and_each_once() {
        let clock = Clock::system();
        let beside = target("https://beside.example/");
        let own = ReplyTarget { plugin: "http".to_owned(), address: r#"{"connector":"orders","room":7}"#.to_owned() };
        let sent = |include_self_output, additional: &[&ReplyTarget], route: Option<&str>| {
            let additional_reply_targets = additional.iter().copied().cloned().collect();
            let rules = Rules { delivers: true, include_self_output, additional_reply_targets, ..rules(true) };
            let routed = Event { reply_route: route.map(str::to_owned), ..event(Vec::new()) };
            prepare(&rules, routed, &clock).unwrap().request.reply_targets
        };
        let route = Some(r#"{"room":7}"#);
        assert_eq!(sent(true, &[&beside, &own], route), [own.clone(), beside.clone()]);
        assert_eq!(sent(false, &[&beside], route), std::slice::from_ref(&beside));
        assert_eq!(sent(false, &[], route), [target("https://operator.example/")]);
        assert_eq!(sent(true, &[&beside], None), [target("https://operator.example/")]);
    }

    #[test]
    fn an_answer_goes_back_along_the_route_unless_the_event_names_targets() {
        let clock = Clock::system();
        let routed = |reply_targets, route: &str| Event { reply_route: Some(route.to_owned()), ..event(reply_targets) };
        let delivering = Rules { delivers: true, ..rules(true) };
        let own = prepare(&delivering, routed(Vec::new(), r#"{"room":7}"#), &clock).unwrap();
        let address = r#"{"connector":"orders","room":7}"#.to_owned();
        assert_eq!(own.request.reply_targets, [ReplyTarget { plugin: "http".to_owned(), address }]);
        let chosen = vec![target("https://elsewhere.example/")];
        let named = prepare(&delivering, routed(chosen.clone(), r#"{"room":7}"#), &clock).unwrap();
        assert_eq!(named.request.reply_targets, chosen);
        for route in ["{", "7", r#"{"connector":"other"}"#] {
            assert!(
                matches!(prepare(&delivering, routed(Vec::new(), route), &clock), Err(Fault::Contract(_))),
                "{route}"
            );
        }
        assert!(matches!(prepare(&rules(true), routed(Vec::new(), "{}"), &clock), Err(Fault::Contract(_))));
    }
}
