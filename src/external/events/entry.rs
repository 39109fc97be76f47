//! An event made ready for the writer: checked, placed, with the host's own metadata. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json, value::to_raw_value};
use sha2::{Digest, Sha256};

use super::{
    super::{KIND, route, settings::Settings},
    identity,
    payload::{ExternalEvent, ExternalRelation, Item, Thread},
};
use crate::{
    config::sidecars::SidecarSettings,
    delivery::targets,
    ingress::{
        accept::{Entry, Key},
        prepare::{Rules, receipt_key, routed_targets, split_input},
    },
    model::{
        artifact::{clean_media_type, clean_name},
        event::{InlineFile, InputPart},
        ids::RunId,
        run::RunRequest,
    },
};

/// Who acts when nobody is named.
const SOMEBODY: &str = "external-user";

/// What a connector's events are made ready by.
#[derive(Clone, Copy)]
pub(super) struct Desk<'d> {
    pub(super) rules: &'d Rules,
    pub(super) settings: &'d Settings,
    pub(super) bounds: &'d SidecarSettings,
    /// Whether nobody authenticates its callers: they name no files of others.
    pub(super) open: bool,
    /// The only life whose events count, where the daemon started the sidecar and knows it.
    pub(super) instance: Option<&'d str>,
}

/// What tells an event from a conflicting one. When it happened is not part of it: sidecars stamp events with the time at
/// which they read them.
#[derive(Serialize)]
struct Marked<'e> {
    event_id: &'e str,
    fingerprint: &'e Option<String>,
    actor_id: &'e Option<String>,
    source_kind: &'e Option<String>,
    intent: &'e Option<String>,
    relation: &'e Option<ExternalRelation>,
    thread: &'e Option<Thread>,
    routing_key: &'e Option<String>,
    content: &'e str,
    input_items: &'e [Item],
    attachments: &'e [Item],
    reply_route: &'e Option<String>,
    metadata: &'e Option<Value>,
}

impl Desk<'_> {
    /// Makes an event ready to become this run; the error says why it is rejected.
    pub(super) fn prepare(self, event: ExternalEvent, version: u64, run: RunId) -> Result<Entry, String> {
        let event = ExternalEvent { event_id: event.event_id.trim().to_owned(), ..event };
        self.check(&event)?;
        let Self { rules, settings, .. } = self;
        let name = &rules.connector.name;
        let path = event.thread.as_ref().map_or(&[][..], |thread| &thread.path);
        let placement = identity::place(name, settings, path, event.routing_key.as_deref())
            .map_err(|error| error.to_string())?
            .fixed(rules.fixed_session.as_ref())
            .creating(rules.create_sessions);
        let (fingerprint, digest) = (fingerprint(&event), hex::encode(Sha256::digest(&event.event_id)));
        let metadata = metadata(&event, name, (&digest, &hex::encode(fingerprint)), version);
        let key = Key { receipt: receipt_key(&rules.connector.to_string(), &event.event_id), fingerprint };
        let own = event.reply_route.as_deref().filter(|written| !written.trim().is_empty());
        let own = own.map(|written| targets::of_route(&rules.connector, &route::written(written))).transpose()?;
        let reply_targets = match own {
            Some(own) => routed_targets(rules, own),
            None => rules.default_reply_targets.clone(),
        };
        let (input, assets) = split_input(self.input(event.content, event.input_items, event.attachments)?);
        let request = RunRequest {
            source_plugin: KIND.to_owned(),
            source_kind: event.source_kind.unwrap_or_else(|| settings.platform.clone()),
            actor: Some(event.actor_id.unwrap_or_else(|| SOMEBODY.to_owned())),
            input,
            metadata: to_raw_value(&metadata).map_err(|error| error.to_string())?,
            reply_targets,
        };
        let (key, executor) = (Some(key), rules.executor.clone());
        Ok(Entry { run, key, placement, request, write_back: false, executor, assets, fetch: false, gathers: None })
    }

    /// What stands against an event, but for its content.
    fn check(&self, event: &ExternalEvent) -> Result<(), String> {
        for (member, text) in [("instance_id", &event.instance_id), ("event_id", &event.event_id)] {
            if text.trim().is_empty() {
                return Err(format!("`{member}` is blank"));
            }
        }
        if let Some(known) = self.instance.filter(|known| **known != *event.instance_id) {
            return Err(format!("`instance_id` is not `{known}`, which the sidecar's manifest says"));
        }
        let relation = event.relation.as_ref();
        let optional = [
            ("intent", event.intent.as_ref()),
            ("routing_key", event.routing_key.as_ref()),
            ("relation.kind", relation.map(|relation| &relation.kind)),
            ("relation.target_event_id", relation.map(|relation| &relation.target_event_id)),
        ];
        for (member, text) in optional {
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(format!("`{member}` is blank: leave it out, or say something"));
            }
        }
        let path = event.thread.iter().flat_map(|thread| &thread.path).map(String::len).sum();
        let names = [
            ("event_id", event.event_id.len()),
            ("thread.path", path),
            ("routing_key", event.routing_key.as_ref().map_or(0, String::len)),
        ];
        names.into_iter().try_for_each(|(member, bytes)| {
            within(bytes, self.bounds.identity_bytes, &format!("`{member}`"), "bytes", "identity_bytes")
        })
    }

    fn input(
        &self,
        content: Option<String>,
        items: Option<Vec<Item>>,
        attachments: Option<Vec<Item>>,
    ) -> Result<Vec<InputPart>, String> {
        let (content, items) = (content.unwrap_or_default(), items.unwrap_or_default());
        let attachments = attachments.unwrap_or_default();
        let bounds = self.bounds;
        within(content.len(), bounds.content_bytes, "`content`", "bytes", "content_bytes")?;
        within(items.len(), bounds.input_items, "`input_items`", "items", "input_items")?;
        within(attachments.len(), bounds.attachments, "`attachments`", "files", "attachments")?;
        if !items.is_empty() {
            if !content.trim().is_empty() || !attachments.is_empty() {
                return Err("`input_items` come without `content` and `attachments`: give one or the other".to_owned());
            }
            return items.into_iter().map(|item| self.part(item)).collect();
        }
        let has_text = !content.is_empty();
        if !has_text && attachments.is_empty() {
            return Err("the event says nothing: give `content`, `attachments` or `input_items`".to_owned());
        }
        if attachments.iter().any(|item| matches!(item, Item::Text { .. })) {
            return Err("`attachments` are files: put text into `content`".to_owned());
        }
        let text = has_text.then_some(Ok(InputPart::Text(content)));
        text.into_iter().chain(attachments.into_iter().map(|item| self.part(item))).collect()
    }

    fn part(&self, item: Item) -> Result<InputPart, String> {
        match item {
            Item::Text { text } => {
                within(text.len(), self.bounds.content_bytes, "a text", "bytes", "content_bytes")?;
                Ok(InputPart::Text(text))
            }
            Item::AssetReference { .. } if self.open => {
                Err("callers that nobody authenticates cannot refer to files: give the connector a shared_token"
                    .to_owned())
            }
            Item::AssetReference { asset_id } => Ok(InputPart::Asset(asset_id)),
            Item::BoardReference { board_id } => Err(format!("`{board_id}`: this host keeps no boards")),
            Item::InlineAsset { file_name: name, media_type, content_base64 } => {
                // Sidecars pass on what their platform says: no reason to lose the event.
                let name = clean_name(&name);
                let data = STANDARD
                    .decode(content_base64.trim())
                    .map_err(|error| format!("content_base64 of `{name}` is not base64: {error}"))?;
                within(data.len(), self.bounds.inline_bytes, &format!("`{name}`"), "bytes", "inline_bytes")?;
                let media_type = clean_media_type(media_type.as_deref().unwrap_or_default()).to_owned();
                Ok(InputPart::InlineFile(InlineFile { name, media_type, data }))
            }
        }
    }
}

fn within(has: usize, most: usize, what: &str, of: &str, setting: &str) -> Result<(), String> {
    if has <= most { Ok(()) } else { Err(format!("{what} has {has} {of}, sidecars.{setting} is {most}")) }
}

/// SHA-256 over all that the sidecar said of the event but its time, its instance and its version.
fn fingerprint(event: &ExternalEvent) -> [u8; 32] {
    let marked = Marked {
        event_id: &event.event_id,
        fingerprint: &event.fingerprint,
        actor_id: &event.actor_id,
        source_kind: &event.source_kind,
        intent: &event.intent,
        relation: &event.relation,
        thread: &event.thread,
        routing_key: &event.routing_key,
        content: event.content.as_deref().unwrap_or_default(),
        input_items: event.input_items.as_deref().unwrap_or_default(),
        attachments: event.attachments.as_deref().unwrap_or_default(),
        reply_route: &event.reply_route,
        metadata: &event.metadata,
    };
    // It was read from JSON, so it can be written.
    Sha256::digest(serde_json::to_vec(&marked).unwrap_or_default()).into()
}

/// The sidecar's metadata with the host's own beside it, which win.
fn metadata(
    event: &ExternalEvent,
    name: &str,
    (digest, fingerprint): (&str, &str),
    version: u64,
) -> Map<String, Value> {
    let mut metadata = match &event.metadata {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(members)) => members.clone(),
        Some(other) => Map::from_iter([("source_metadata".to_owned(), other.clone())]),
    };
    let own = [
        ("occurred_at_ms", event.occurred_at_ms.map(Value::from)),
        ("external_instance_id", Some(event.instance_id.as_str().into())),
        ("external_event_id", Some(event.event_id.as_str().into())),
        ("connector_ingress_key", Some(format!("{KIND}:{name}:{}", &digest[..32]).into())),
        ("external_event_key_sha256", Some(digest.into())),
        ("external_event_fingerprint", Some(fingerprint.into())),
        ("external_protocol_version", Some(version.into())),
        ("external_intent", event.intent.as_deref().map(Value::from)),
        ("external_routing_key", event.routing_key.as_deref().map(Value::from)),
        ("external_relation", event.relation.as_ref().map(|relation| json!(relation))),
    ];
    for (member, value) in own {
        match value {
            Some(value) => drop(metadata.insert(member.to_owned(), value)),
            // A sidecar's own word does not pass for the host's.
            None => drop(metadata.remove(member)),
        }
    }
    metadata
}

#[cfg(test)]
mod tests;
