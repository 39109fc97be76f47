//! The connector seam: what a plugin can do for the host, as values in and values out.
//!
//! A [`Plugin`] provides one kind. It is a sandboxed component ([`wasm`]) or, for tests and benchmarks, native code.
//! It never sees the store: durable state reaches it through the [`KeyValue`] handle of its [`Context`], and what it
//! wants written comes back as effects.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    metrics::ingress::ForKind,
    model::{
        delivery::UnknownPolicy,
        event::{Event, RemoteFile},
        ids::ConnectorId,
    },
    secrets::SecretSet,
};

pub mod credentials;
pub mod files;
pub mod folder;
pub mod health;
pub mod kinds;
pub mod manifest;
pub mod outbound;
pub mod outgoing;
pub mod pulled;
pub mod wasm;

use files::Files;
use health::{Absence, Health};
use manifest::Manifest;
use outbound::{Outbound, WrongSetting};
use outgoing::{Attempt, Failure, Outgoing, Search};
use pulled::Pulled;

/// How registering ended, and what is to be remembered of it.
pub type Activated = (Result<(), Failure>, Vec<Effect>);

/// Provides one connector kind. Shared by every connector of the kind and called concurrently.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// What the kind says about itself. Read once, when the plugin was loaded.
    fn manifest(&self) -> &Manifest;

    /// Lower-case hexadecimal SHA-256 of the code, or `native`.
    fn digest(&self) -> &str;

    /// Checks the rules that the settings schema cannot say; one message for each that `settings` breaks. `configured`
    /// names the secret slots that the operator filled. Called for every connector of the kind before it serves, after
    /// the schema has passed.
    async fn check_settings(&self, settings: &Value, configured: &[String]) -> Result<Vec<String>, Fault>;

    /// Checks what the settings alone cannot show. What is wrong comes with the JSON pointer of its field. Called after the
    /// schema has passed.
    fn check_definition(&self, _defined: &Defined<'_>) -> Vec<WrongSetting> {
        Vec::new()
    }

    /// Settings that a connector keeps for as long as it is there: the API refuses to change them.
    fn kept_settings(&self) -> &[&str] {
        &[]
    }

    /// Takes out of a connector's fields what operators shall not be shown. Secret slots are not among the fields any more.
    fn redact(&self, _fields: &mut Map<String, Value>) {}

    /// The path below a connector's route that takes events: empty, or `/…`.
    fn events_path(&self) -> &str {
        ""
    }

    /// Puts into the kind's sample event what only the other side of a connector can say.
    fn fill_sample(&self, _connector: &ConnectorId, _sample: &mut Value) {}

    /// How the other side of a connector fares, where the kind keeps an eye on it.
    fn health(&self, _connector: &ConnectorId) -> Option<Health> {
        None
    }

    /// Stored secrets that settings name beside the kind's slots.
    fn stored_secrets(&self, _settings: &Map<String, Value>) -> Vec<StoredSecret> {
        Vec::new()
    }

    /// What a connector with these settings has for itself alone: no two of the kind that serve make the same claim.
    fn claim(&self, _settings: &Map<String, Value>) -> Option<Claim> {
        None
    }

    /// Starts the program behind a connector anew, also when it was started too often.
    fn restart(&self, _connector: &ConnectorId) -> Obeyed {
        Obeyed::NoProgram
    }

    /// Turns one verified request into events. Called once for each request, on a fresh instance, while the caller
    /// waits: no network. What it wants remembered is in the answer; a call that fails leaves nothing behind.
    async fn receive(&self, context: Arc<Context>, request: Request) -> Result<Answer, Fault>;

    /// Whether connectors of the kind send too. What does not is never asked to.
    fn delivers(&self) -> bool {
        false
    }

    /// Why nothing can be sent through a connector now; none where it can. Asked before a delivery is taken up, which then
    /// waits and spends nothing. Answers at once.
    fn absence(&self, _context: &Context) -> Option<Absence> {
        None
    }

    /// Checks a reply route, as JSON text, that somebody wrote for this connector. The normalised route comes back, or a
    /// sentence that says what is wrong with it. Called while a caller waits; nothing of the call is kept.
    async fn check_route(&self, _context: Arc<Context>, _route: &str) -> Result<Result<String, String>, Fault> {
        Err(Fault::Contract("it does not deliver".to_owned()))
    }

    /// Whether connectors of the kind fetch files that their events name.
    fn fetches(&self) -> bool {
        false
    }

    /// Fetches a file into the host's files and names it. What it writes to durable state is not kept.
    async fn download(&self, _context: Arc<Context>, _file: RemoteFile) -> Result<Result<String, Failure>, Fault> {
        Err(Fault::Contract("it does not export `attachments`".to_owned()))
    }

    /// Sends one text once, on a fresh instance.
    async fn deliver(&self, _context: Arc<Context>, _outgoing: Outgoing) -> Result<Attempt, Fault> {
        Err(Fault::Contract("it does not deliver".to_owned()))
    }

    /// Whether connectors of the kind can look up what became of a part. What cannot is never asked to.
    fn reconciles(&self) -> bool {
        false
    }

    /// Asks the platform, on a fresh instance, whether an interrupted attempt arrived.
    async fn find(&self, _context: Arc<Context>, _outgoing: Outgoing) -> Result<Search, Fault> {
        Err(Fault::Contract("it looks nothing up".to_owned()))
    }

    /// Whether connectors of the kind ask their platform for events. What does not is never told to.
    fn polls(&self) -> bool {
        false
    }

    /// Asks the platform once, on a fresh instance, from where the cursor (JSON text) says.
    async fn poll(&self, _context: Arc<Context>, _cursor: Option<String>) -> Result<Pulled, Fault> {
        Err(Fault::Contract("it does not poll".to_owned()))
    }

    /// Whether connectors of the kind register themselves at their platform. What does not is never told to.
    fn activates(&self) -> bool {
        false
    }

    /// Makes the platform do as the settings say; `public_url` is the connector's route as platforms reach it.
    async fn activate(&self, _context: Arc<Context>, _public_url: Option<String>) -> Result<Activated, Fault> {
        Err(Fault::Contract("it does not register itself".to_owned()))
    }

    /// Withdraws a connector that is deleted.
    async fn deactivate(&self, _context: Arc<Context>) -> Result<Result<(), Failure>, Fault> {
        Err(Fault::Contract("it does not register itself".to_owned()))
    }

    /// Whether connectors of the kind can show that an answer is on its way. What cannot is never asked to.
    fn shows_typing(&self) -> bool {
        false
    }

    /// Shows it once on a route, as JSON text. Nothing of the call is kept; it waits for no place, and ends
    /// [`Fault::Overloaded`] where there is none.
    async fn typing(&self, _context: Arc<Context>, _route: String) -> Result<Result<(), Failure>, Fault> {
        Err(Fault::Contract("it does not export `presence`".to_owned()))
    }
}

/// What a connector has for itself alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The setting that says so, as a JSON pointer.
    pub pointer: &'static str,
    /// What it is, for people.
    pub what: String,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeyed {
    /// It is carried out.
    Yes,
    /// The daemon starts no program for the connector.
    NoProgram,
    /// Another daemon on the same store runs the program.
    RunsElsewhere,
}

/// A stored secret that settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Under which name its value is among the connector's secrets.
    pub slot: String,
    /// The JSON pointer of the setting.
    pub pointer: String,
    /// The secret's name.
    pub secret: String,
}

/// A connector that is about to serve.
#[derive(Clone, Copy, Debug)]
pub struct Defined<'d> {
    /// Its kind and name.
    pub connector: &'d ConnectorId,
    /// Its settings, without secrets and the host's own fields.
    pub settings: &'d Value,
    /// Whether the operator granted private addresses.
    pub private_network: bool,
}

/// What a call may know about the connector that it serves. Built once per connector and shared by its calls.
pub struct Context {
    /// Whose call it is.
    pub connector: ConnectorId,
    /// The connector's settings, validated, without secrets, as JSON text.
    pub settings: String,
    /// Secrets by slot; guests get handles, never bytes.
    pub secrets: SecretSet,
    /// The connector's durable state.
    pub key_value: Arc<dyn KeyValue>,
    /// How many guest calls this connector may have in flight while callers wait.
    pub permits: Arc<tokio::sync::Semaphore>,
    /// How many deliveries it may have in flight: places of their own, so that a slow platform shuts out no caller.
    pub delivery_permits: Arc<tokio::sync::Semaphore>,
    /// What follows when nobody knows whether a part arrived.
    pub unknown: UnknownPolicy,
    /// The host's files.
    pub files: Arc<dyn Files>,
    /// Where it may send requests.
    pub outbound: Outbound,
    /// How many requests it may have in flight.
    pub request_permits: Arc<tokio::sync::Semaphore>,
    /// What is counted for its kind.
    pub counts: Arc<ForKind>,
}

/// Reads a connector's durable state. Writes are [`Effect`]s of an [`Answer`] or an [`Attempt`].
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The committed value of `key`, if any.
    async fn get(&self, connector: &ConnectorId, key: &str) -> anyhow::Result<Option<Vec<u8>>>;
}

/// A request that reached the connector's route and passed its verification recipes.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, …
    pub method: String,
    /// Path and query exactly as received.
    pub target: String,
    /// Path below the connector's own route: empty or `/…`.
    pub subpath: String,
    /// Names in lower case, values as received (lossy where they are not UTF-8), in order. Headers that carry
    /// credentials a recipe checked are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// When its head was read, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// The recipe that authenticated the caller; none on a connector that is open on purpose.
    pub authenticated_by: Option<String>,
}

/// What a plugin made of a request.
#[derive(Debug)]
pub enum Answer {
    /// Make these events durable, all or none, then answer.
    Accept {
        /// In arrival order; may be empty.
        events: Vec<Event>,
        /// Committed with the events.
        effects: Vec<Effect>,
        /// Sent once every event is durable; the host's own receipt when absent.
        response: Option<Response>,
    },
    /// Nothing to do: a challenge, or a kind of update that is ignored.
    Respond(Response),
    /// The caller's mistake.
    Refuse(Refusal),
}

/// A write to the connector's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Stores `value` under `key`.
    Set {
        /// At most 512 bytes.
        key: String,
        /// At most 64 KiB.
        value: Vec<u8>,
    },
    /// Forgets `key`.
    Delete {
        /// At most 512 bytes.
        key: String,
    },
}

/// An HTTP answer that a plugin wrote.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Checked by the host; hop-by-hop headers are dropped.
    pub headers: Vec<(String, String)>,
    /// At most 2 MiB.
    pub body: Vec<u8>,
}

/// The caller's mistake, for a problem document.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 400 to 499.
    pub status: u16,
    /// Stable, `[a-z0-9_]`, at most 64 characters.
    pub code: String,
    /// A sentence that tells the caller what to change.
    pub reason: String,
}

/// A call that gave no answer. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Every permit was taken and the queue was full or too slow: the host's fault, not the plugin's.
    #[error("too many calls are in flight")]
    Overloaded,
    /// It used up its time; the limit is in milliseconds.
    #[error("the call ran past its limit of {0} ms")]
    Deadline(u64),
    /// It asked for more memory than it may have.
    #[error("the call asked for {asked} bytes of memory, the limit is {limit}")]
    Memory {
        /// What it would have had, in bytes.
        asked: usize,
        /// What it may have, in bytes.
        limit: usize,
    },
    /// It trapped; the text is the trap's own and, where the guest said why, its last log line.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It answered against the contract.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// The host failed it.
    #[error("the host failed the call: {0}")]
    Host(#[source] anyhow::Error),
    /// It failed in one of these ways after a request had left that may have changed something outside.
    #[error("{0}, after a request had left")]
    Halfway(Box<Self>),
}
