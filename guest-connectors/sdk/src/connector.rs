//! What a connector implements.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Answer, Batch, Failure, Finding, HttpRequest, Manifest, Outgoing, Receipt, Refusal, RemoteFile};

/// A connector kind.
pub trait Connector {
    /// The connector's settings, decoded from the JSON that passed the manifest's schema. Give every optional setting
    /// its default here too: the host does not add absent ones.
    type Settings: DeserializeOwned;

    /// What the kind says about itself. Called once per loaded file, in an instance that may do nothing else.
    fn manifest() -> Manifest;

    /// Checks the rules that a schema cannot say: one sentence for each that `settings` breaks. `configured` names the
    /// secret slots that the operator filled. Called for each connector of the kind before it serves.
    fn check_settings(_settings: &Self::Settings, _configured: &[String]) -> Vec<String> {
        Vec::new()
    }
}

/// A connector that takes events by HTTP.
pub trait Ingress: Connector {
    /// Turns one verified request into events. The caller is waiting: nothing here talks to the network.
    fn handle(context: Context<Self::Settings>, request: HttpRequest) -> Result<Answer, Refusal>;
}

/// A connector that sends what runs say.
pub trait Delivery: Connector {
    /// Where a delivery goes, as JSON an object without a member `connector`. An event answers to the place that it came from
    /// with `reply_route: Some(json::text(&route))`.
    type Route: Serialize + DeserializeOwned;

    /// Checks a route that an operator or a caller wrote, before it is stored: the route in its normal form, or a sentence
    /// that says what is wrong. Called while somebody waits.
    fn check_route(_context: Context<Self::Settings>, route: Self::Route) -> Result<Self::Route, String> {
        Ok(route)
    }

    /// Sends once. The host orders, repeats and remembers; what is written to [`key_value`](crate::key_value) is committed
    /// with what becomes of the delivery.
    fn deliver(context: Context<Self::Settings>, outgoing: Outgoing<Self::Route>) -> Result<Receipt, Failure>;
}

/// A connector that can look up whether something was sent.
pub trait Reconciliation: Delivery {
    /// Asks the platform what became of an attempt that was interrupted, and changes nothing there. `outgoing` is what that
    /// attempt was given; its `metadata` says in `attempt_started_at_ms` when it began. Called before anything else goes out
    /// on the route, in place of what the manifest's `delivery.unknown` says, which follows where the platform cannot tell.
    fn find(context: Context<Self::Settings>, outgoing: Outgoing<Self::Route>) -> Result<Finding, Failure>;
}

/// A connector whose events name files that are still on the platform.
pub trait Attachments: Connector {
    /// Fetches one file and names the asset: the id that an answer to [`store_as`](crate::http::Request::store_as) gives.
    /// Called once the event is durable. A file that fails with a terminal failure is told to the run as unavailable, with
    /// the failure's code.
    fn download(context: Context<Self::Settings>, file: RemoteFile) -> Result<String, Failure>;
}

/// A connector that asks its platform for events.
pub trait Polling: Connector {
    /// How far it has read, as JSON.
    type Cursor: Serialize + DeserializeOwned;

    /// Asks once. The cursor of the answer is committed together with its events; without one the old cursor stays.
    fn poll(context: Context<Self::Settings>, cursor: Option<Self::Cursor>) -> Result<Batch<Self::Cursor>, Failure>;
}

/// A connector that registers itself at its platform.
pub trait Activation: Connector {
    /// Makes the platform send events to `public_url`, or withdraws what was registered where that is wrong for the
    /// settings. Called after changes, and now and then: what is right already stays as it is.
    fn activate(context: Context<Self::Settings>, public_url: Option<String>) -> Result<(), Failure>;

    /// Withdraws the connector.
    fn deactivate(context: Context<Self::Settings>) -> Result<(), Failure>;
}

/// A connector that can show people that an answer is on its way.
pub trait Presence: Delivery {
    /// Shows it once, for as long as the manifest says ([`Manifest::sign_lasts`]). Called while a run is performed that answers
    /// to this route, and again shortly before the sign is gone. Best effort: a failure is told to nobody, and a terminal one,
    /// as where the place has no such sign, ends it for the run. What is written to
    /// [`key_value`](crate::key_value) is not kept.
    fn typing(context: Context<Self::Settings>, route: Self::Route) -> Result<(), Failure>;
}

/// What a call knows about the connector that it serves.
#[derive(Clone, Debug)]
pub struct Context<S> {
    /// The connector's name, as in its route.
    pub name: String,
    /// Its settings.
    pub settings: S,
}
