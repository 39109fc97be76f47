//! Between the contract's types and the model's. What a guest says is untrusted: every rule that it could break is checked
//! here, once, and a breach is the guest's fault and not the caller's.

use serde_json::{Map, Value};

use super::bindings::{exports::kheish::connector::ingress::Outcome, kheish::connector::types as wit};
use crate::{
    connectors::{Answer, Effect, Fault, Refusal, Request, Response},
    model::{
        event::{Event, InlineFile, InputPart, Relation, RemoteFile, SessionKey, Settle},
        target::ReplyTarget,
    },
    secrets::mask,
};

mod delivery;
mod polling;

pub(super) use delivery::{attempt, checked_route, failure, outgoing, search};
pub(super) use polling::{done, pulled};

/// Events of one call.
const EVENTS: usize = 64;
/// Length of an event's key, in bytes.
const KEY_BYTES: usize = 1024;
/// Binding keys, and reply targets, of an event.
const NAMES: usize = 64;
/// Length of a binding key, in bytes.
const NAME_BYTES: usize = 512;
/// Length of the name of a group of events, in bytes.
const GROUP_BYTES: usize = 512;
/// Length of an event's actor, kind of source and intent, in bytes.
const WORD_BYTES: usize = 1024;
/// Size of an event's metadata, in bytes of JSON.
const METADATA_BYTES: usize = 64 * 1024;
/// Size of an answer's body, in bytes.
const BODY_BYTES: usize = 2 * 1024 * 1024;
/// Length of a refusal's sentence, in characters.
const REASON_CHARS: usize = 2_000;

pub(super) fn request(request: Request) -> wit::HttpRequest {
    wit::HttpRequest {
        method: request.method,
        target: request.target,
        subpath: request.subpath,
        headers: request.headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect(),
        body: request.body.into(),
        received_at_ms: request.received_at_ms,
        authenticated_by: request.authenticated_by,
    }
}

pub(super) fn answer(kind: &str, outcome: Outcome, effects: Vec<Effect>) -> Result<Answer, Fault> {
    match outcome {
        Outcome::Accept(acceptance) => {
            if acceptance.events.len() > EVENTS {
                return Err(breach(format!("it returned {} events, the limit is {EVENTS}", acceptance.events.len())));
            }
            let events = acceptance.events.into_iter().map(|one| event(kind, one)).collect::<Result<_, _>>()?;
            Ok(Answer::Accept { events, effects, response: acceptance.response.map(response).transpose()? })
        }
        Outcome::Respond(answer) => Ok(Answer::Respond(response(answer)?)),
        Outcome::Refuse(refused) => {
            let code = &refused.code;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if !(400..500).contains(&refused.status) || !(1..=64).contains(&code.len()) || !code.bytes().all(plain) {
                return Err(breach(format!("it refused with status {} and code {code:?}", refused.status)));
            }
            let reason = mask::cut(&refused.reason, REASON_CHARS);
            Ok(Answer::Refuse(Refusal { status: refused.status, code: refused.code, reason }))
        }
    }
}

fn response(response: wit::HttpResponse) -> Result<Response, Fault> {
    if !(200..600).contains(&response.status) {
        return Err(breach(format!("it answered with status {}", response.status)));
    }
    if response.body.len() > BODY_BYTES {
        return Err(breach(format!("it answered with {} bytes, the limit is {BODY_BYTES}", response.body.len())));
    }
    let headers = response.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Ok(Response { status: response.status, headers, body: response.body })
}

fn event(kind: &str, event: wit::Event) -> Result<Event, Fault> {
    check(&event)?;
    Ok(Event {
        key: event.id,
        fingerprint: event.fingerprint,
        occurred_at_ms: event.occurred_at_ms,
        actor: event.actor,
        source_kind: event.source_kind,
        intent: event.intent,
        relation: event
            .relation
            .map(|relation| Relation { kind: relation.kind, target_event_id: relation.target_event_id }),
        session: session(event.session),
        binding_keys: event.binding_keys,
        input: event.input.into_iter().map(input).collect::<Result<_, _>>()?,
        reply_route: event.reply_route,
        reply_targets: event
            .reply_targets
            .into_iter()
            .map(|target| ReplyTarget { plugin: target.plugin, address: target.address })
            .collect(),
        settle: event.settle.map(|settle| Settle {
            group: settle.group,
            after_ms: settle.after_ms.into(),
            position: settle.position,
        }),
        metadata: metadata(kind, &event.metadata)?,
    })
}

/// Bounds of everything that becomes a row or a column of its own.
fn check(event: &wit::Event) -> Result<(), Fault> {
    if event.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > KEY_BYTES) {
        return Err(breach(format!("an event's id has 1 to {KEY_BYTES} bytes")));
    }
    if event.binding_keys.len() > NAMES || event.reply_targets.len() > NAMES {
        return Err(breach(format!("an event has at most {NAMES} binding keys and as many reply targets")));
    }
    if event.binding_keys.iter().any(|key| key.trim().is_empty() || key.len() > NAME_BYTES) {
        return Err(breach(format!("a binding key is not blank and has at most {NAME_BYTES} bytes")));
    }
    if event.settle.as_ref().is_some_and(|settle| settle.group.is_empty() || settle.group.len() > GROUP_BYTES) {
        return Err(breach(format!("the name of a group of events has 1 to {GROUP_BYTES} bytes")));
    }
    let words = [&event.actor, &event.intent].into_iter().flatten().chain([&event.source_kind]);
    if words.into_iter().any(|word| word.len() > WORD_BYTES) {
        return Err(breach(format!("an event's actor, source kind and intent have at most {WORD_BYTES} bytes")));
    }
    Ok(())
}

fn session(key: wit::SessionKey) -> SessionKey {
    match key {
        wit::SessionKey::Thread(path) => SessionKey::Thread(path),
        wit::SessionKey::RoutingKey(key) => SessionKey::RoutingKey(key),
        wit::SessionKey::SessionId(id) => SessionKey::SessionId(id),
        wit::SessionKey::Unspecified => SessionKey::Unspecified,
    }
}

/// A file as the guest named it, given back to it.
pub(super) fn remote_file(file: RemoteFile) -> wit::RemoteFile {
    wit::RemoteFile { name: file.name, media_type: file.media_type, size: file.size, locator: file.locator }
}

fn input(part: wit::InputPart) -> Result<InputPart, Fault> {
    Ok(match part {
        wit::InputPart::Text(text) => InputPart::Text(text),
        wit::InputPart::Asset(id) => InputPart::Asset(id),
        wit::InputPart::InlineFile(file) => {
            InputPart::InlineFile(InlineFile { name: file.name, media_type: file.media_type, data: file.data })
        }
        wit::InputPart::RemoteFile(file) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&file.locator)
                .map_err(|error| breach(format!("a file's locator is not JSON: {error}")))?;
            InputPart::RemoteFile(RemoteFile {
                name: file.name,
                media_type: file.media_type,
                size: file.size,
                locator: file.locator,
            })
        }
    })
}

/// An object without the names that the host adds itself.
fn metadata(kind: &str, text: &str) -> Result<Map<String, Value>, Fault> {
    if text.len() > METADATA_BYTES {
        return Err(breach(format!("an event's metadata has {} bytes, the limit is {METADATA_BYTES}", text.len())));
    }
    let metadata: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| breach(format!("an event's metadata is not a JSON object: {error}")))?;
    match metadata.keys().find(|name| reserved(kind, name)) {
        Some(name) => Err(breach(format!("an event's metadata has the key `{name}`, which the host writes"))),
        None => Ok(metadata),
    }
}

/// Names that `ingress::prepare` and `ingress::accept` write.
fn reserved(kind: &str, name: &str) -> bool {
    let of_kind = name
        .strip_prefix(kind)
        .is_some_and(|rest| ["_ingress_key", "_ingress_key_sha256", "_ingress_fingerprint"].contains(&rest));
    of_kind
        || ["connector_ingress_key", "event_occurred_at_ms", "event_intent", "event_relation", "event_joined"]
            .contains(&name)
}

fn breach(what: String) -> Fault {
    Fault::Contract(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_an_object_without_the_hosts_names() {
        assert!(metadata("http", "{\"a\":1}").is_ok());
        for bad in [
            "",
            "[]",
            "null",
            "{\"connector_ingress_key\":1}",
            "{\"http_ingress_fingerprint\":1}",
            "{\"event_intent\":1}",
            "{\"event_joined\":[]}",
        ] {
            assert!(metadata("http", bad).is_err(), "{bad}");
        }
    }
}
