//! What a connector hands to the host: one inbound thing, not yet durable.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::target::ReplyTarget;

/// One inbound thing. Mirrors the record `event` of `wit/types.wit`; natural for any other connector family too.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Idempotency key within the connector. Absent: every call is a new event.
    pub key: Option<String>,
    /// Text that is equal for a replay and differs for a conflicting reuse of `key`. The host hashes it, or the whole
    /// event when it is absent.
    pub fingerprint: Option<String>,
    /// When the platform says it happened, in milliseconds since 1970.
    pub occurred_at_ms: Option<u64>,
    /// Who caused it, in the platform's terms.
    pub actor: Option<String>,
    /// What sort of source it came from; for the `http` kind the connector's name (contract section 3.2).
    pub source_kind: String,
    /// What the actor wants, when the platform says so.
    pub intent: Option<String>,
    /// What this event is to an earlier one.
    pub relation: Option<Relation>,
    /// How the host finds its session.
    pub session: SessionKey,
    /// Further names of the conversation; each is bound to the session for good.
    pub binding_keys: Vec<String>,
    /// Its content, in order.
    pub input: Vec<InputPart>,
    /// Where an answer goes on this connector's platform, as JSON text.
    pub reply_route: Option<String>,
    /// Reply targets that the caller chose. The host honours them only where the operator allows it.
    pub reply_targets: Vec<ReplyTarget>,
    /// The group of events that it belongs to.
    pub settle: Option<Settle>,
    /// Whatever else the platform said. An object.
    pub metadata: Map<String, Value>,
}

/// A group of events that become one run, from the view of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Its name within the connector.
    pub group: String,
    /// How long the run waits for the next event of the group, in milliseconds.
    pub after_ms: u64,
    /// The event's place among those of the group.
    pub position: u64,
}

/// What an event is to another one: an edit, a reply, a reaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// The platform's word for it.
    pub kind: String,
    /// The other event's key.
    pub target_event_id: String,
}

/// How the host finds the durable session of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionKey {
    /// Hierarchical conversation identity, e.g. team, channel, thread.
    Thread(Vec<String>),
    /// Identity without a thread, e.g. `mailbox:ops`.
    RoutingKey(String),
    /// An authenticated caller named the session.
    SessionId(String),
    /// Only binding keys or the connector's fixed session can place it.
    Unspecified,
}

/// One piece of an event's content.
#[derive(Clone, Debug, PartialEq)]
pub enum InputPart {
    /// Plain text.
    Text(String),
    /// A file that is still on the platform; fetched after the event is durable.
    RemoteFile(RemoteFile),
    /// A file that came along.
    InlineFile(InlineFile),
    /// A file that the host's asset store already holds, by its id.
    Asset(String),
}

/// A file that is still on the platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemoteFile {
    /// Its file name.
    pub name: String,
    /// Its media type, when known.
    #[schema(required)]
    pub media_type: Option<String>,
    /// Its size in bytes, when known.
    #[schema(required)]
    pub size: Option<u64>,
    /// JSON text, opaque to the host.
    pub locator: String,
}

/// A file with its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct InlineFile {
    /// Its file name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}
