//! Events as sidecars write them (contract section 4.4), and how they are read. Pure.
//!
//! Members that nobody knows are overlooked: the protocol grows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

/// The versions of the ingress protocol that are spoken.
pub(super) const VERSIONS: [u64; 2] = [1, 2];

/// The version of an event that names none.
const CURRENT: u64 = 2;

/// An event of a sidecar.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ExternalEvent {
    /// 1 or 2; 2 when absent. A batch has one for all of its events.
    #[schema(minimum = 1, maximum = 2)]
    pub(super) protocol_version: Option<u64>,
    /// What the sidecar calls this life of its own.
    pub(super) instance_id: String,
    /// What tells the event from others of the connector.
    pub(super) event_id: String,
    /// The sidecar's own mark of its content.
    pub(super) fingerprint: Option<String>,
    /// When it happened, in milliseconds since 1970. Not part of what tells a repetition from another event.
    pub(super) occurred_at_ms: Option<i64>,
    /// Who caused it; `external-user` when absent.
    pub(super) actor_id: Option<String>,
    /// What sort of event it is; the connector's platform when absent.
    pub(super) source_kind: Option<String>,
    /// What the actor wants.
    pub(super) intent: Option<String>,
    /// What it is to an earlier event.
    pub(super) relation: Option<ExternalRelation>,
    /// Where it belongs: the conversation's place in its platform.
    pub(super) thread: Option<Thread>,
    /// Where it belongs, when it has no path.
    pub(super) routing_key: Option<String>,
    /// Text.
    pub(super) content: Option<String>,
    /// Pieces of content, in place of text and files.
    pub(super) input_items: Option<Vec<Item>>,
    /// Files beside the text.
    pub(super) attachments: Option<Vec<Item>>,
    /// Where an answer goes, in the sidecar's own words.
    pub(super) reply_route: Option<String>,
    /// Whatever else there is to know.
    pub(super) metadata: Option<Value>,
}

/// What an event is to an earlier one.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(super) struct ExternalRelation {
    pub(super) kind: String,
    pub(super) target_event_id: String,
}

/// The conversation's place in its platform, from the outside in.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = ExternalThread)]
pub(super) struct Thread {
    #[serde(default)]
    pub(super) path: Vec<String>,
}

/// A piece of content.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ExternalItem)]
pub(super) enum Item {
    /// Not among attachments.
    Text {
        text: String,
    },
    AssetReference {
        asset_id: String,
    },
    /// Known and not taken: boards are not this host's.
    BoardReference {
        board_id: String,
    },
    InlineAsset {
        file_name: String,
        media_type: Option<String>,
        #[schema(format = Byte)]
        content_base64: String,
    },
}

/// Events that come together.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ExternalBatch)]
pub(super) struct Batch {
    /// Of all events; 2 when absent.
    #[schema(minimum = 1, maximum = 2)]
    protocol_version: Option<u64>,
    #[schema(value_type = Vec<ExternalEvent>)]
    events: Vec<Box<RawValue>>,
}

/// What can be said of an event that cannot be read.
#[derive(Default, Deserialize)]
struct Rough {
    protocol_version: Option<Value>,
    event_id: Option<Value>,
}

impl Rough {
    fn id(&self) -> Option<String> {
        self.event_id.as_ref().and_then(Value::as_str).map(str::to_owned)
    }
}

/// An event that was read, or why it is rejected unread.
#[derive(Debug)]
pub(super) enum Read {
    /// It has the protocol's shape.
    Event(Box<ExternalEvent>, u64),
    /// It has not, or is of a version that is not spoken.
    Rejected(Option<String>, String),
}

/// What is wrong with a body as a whole: a code and a sentence.
type Undecodable = (&'static str, String);

impl Read {
    /// The body of a request with one event.
    pub(super) fn one(bytes: &[u8]) -> Result<Self, Undecodable> {
        match serde_json::from_slice::<ExternalEvent>(bytes) {
            Ok(event) => Ok(Self::event(event, None)),
            Err(error) => match serde_json::from_slice::<Rough>(bytes) {
                // What another version looks like is not known.
                Ok(rough) if rough.protocol_version.as_ref().and_then(Value::as_u64).is_some_and(|v| !is_spoken(v)) => {
                    let version = rough.protocol_version.as_ref().and_then(Value::as_u64).unwrap_or_default();
                    Ok(Self::Rejected(rough.id(), unsupported(version)))
                }
                _ => Err(invalid(&error)),
            },
        }
    }

    /// The body of a request with several, at most so many. One that is not of the protocol's shape is no other's fault.
    pub(super) fn batch(bytes: &[u8], most: usize) -> Result<Vec<Self>, Undecodable> {
        let batch: Batch = serde_json::from_slice(bytes).map_err(|error| invalid(&error))?;
        if batch.events.len() > most {
            let detail = format!(
                "the batch has {} events, sidecars.batch_events is {most}: send them in several",
                batch.events.len()
            );
            return Err(("batch_too_large", detail));
        }
        let version = batch.protocol_version.unwrap_or(CURRENT);
        let read = |raw: &RawValue| match serde_json::from_str::<ExternalEvent>(raw.get()) {
            Ok(event) => Self::event(event, Some(version)),
            Err(error) => {
                let rough: Rough = serde_json::from_str(raw.get()).unwrap_or_default();
                let reason = if is_spoken(version) { invalid(&error).1 } else { unsupported(version) };
                Self::Rejected(rough.id(), reason)
            }
        };
        Ok(batch.events.iter().map(|raw| read(raw)).collect())
    }

    /// The event's id, as far as it can be read.
    pub(super) fn event_id(&self) -> Option<String> {
        match self {
            Self::Event(event, _) => Some(event.event_id.clone()),
            Self::Rejected(id, _) => id.clone(),
        }
    }

    fn event(event: ExternalEvent, shared: Option<u64>) -> Self {
        let version = shared.or(event.protocol_version).unwrap_or(CURRENT);
        if is_spoken(version) {
            Self::Event(Box::new(event), version)
        } else {
            Self::Rejected(Some(event.event_id), unsupported(version))
        }
    }
}

fn is_spoken(version: u64) -> bool {
    VERSIONS.contains(&version)
}

/// Kheish's sidecars look for exactly these words, and fall back to version 1.
fn unsupported(version: u64) -> String {
    let [first, last] = VERSIONS;
    format!("unsupported protocol_version {version}: this host speaks {first} and {last}")
}

fn invalid(error: &serde_json::Error) -> Undecodable {
    ("invalid_payload", format!("the event is not of the protocol's shape: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(body: &Value) -> Result<Read, Undecodable> {
        Read::one(body.to_string().as_bytes())
    }

    #[test]
    fn versions_are_told_before_shapes() {
        for (version, spoken) in [(json!(null), 2), (json!(1), 1), (json!(2), 2)] {
            let event = json!({ "protocol_version": version, "instance_id": "i", "event_id": "e", "new": [] });
            assert!(matches!(one(&event), Ok(Read::Event(_, known)) if known == spoken), "{event}");
        }
        for event in [
            json!({ "protocol_version": 3, "instance_id": "i", "event_id": "e" }),
            json!({ "protocol_version": 3, "event_id": "e", "content": ["another", "shape"] }),
        ] {
            let Ok(Read::Rejected(Some(id), reason)) = one(&event) else { panic!("{event}") };
            assert!(id == "e" && reason.contains("unsupported protocol_version 3"), "{reason}");
        }
        for body in
            ["", "{", "[]", "{}", r#"{"event_id":"e"}"#, r#"{"protocol_version":"2","event_id":"e","instance_id":"i"}"#]
        {
            assert_eq!(Read::one(body.as_bytes()).unwrap_err().0, "invalid_payload", "{body}");
        }
    }

    #[test]
    fn events_of_a_batch_are_read_each_by_itself() {
        let good = json!({ "instance_id": "i", "event_id": "good", "protocol_version": 9 });
        let batch = |version: Value, events: &[Value]| {
            Read::batch(json!({ "protocol_version": version, "events": events }).to_string().as_bytes(), 3)
        };
        let read = batch(json!(1), &[good.clone(), json!({ "event_id": "bad" }), json!(7)]).unwrap();
        assert!(matches!(&read[0], Read::Event(event, 1) if event.event_id == "good"), "the batch's version counts");
        assert!(matches!(&read[1], Read::Rejected(Some(id), _) if id == "bad"));
        assert!(matches!(&read[2], Read::Rejected(None, _)));
        let read = batch(json!(3), &[good.clone(), json!({})]).unwrap();
        assert!(read.iter().all(|one| matches!(one, Read::Rejected(_, reason) if reason.contains("unsupported"))));
        assert_eq!(batch(json!(2), &vec![good; 4]).unwrap_err().0, "batch_too_large");
        assert!(batch(json!(2), &[]).unwrap().is_empty());
        for body in ["{}", "[]", r#"{"events":{}}"#, r#"{"events":["#] {
            assert_eq!(Read::batch(body.as_bytes(), 3).unwrap_err().0, "invalid_payload", "{body}");
        }
    }
}
