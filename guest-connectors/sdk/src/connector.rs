//! What a connector implements.

use serde::de::DeserializeOwned;

use crate::{Answer, HttpRequest, Manifest, Refusal};

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

/// A connector that takes events by HTTP. Other ways in and out are traits beside this one.
pub trait Ingress: Connector {
    /// Turns one verified request into events. The caller is waiting: nothing here talks to the network.
    fn handle(context: Context<Self::Settings>, request: HttpRequest) -> Result<Answer, Refusal>;
}

/// What a call knows about the connector that it serves.
#[derive(Clone, Debug)]
pub struct Context<S> {
    /// The connector's name, as in its route.
    pub name: String,
    /// Its settings.
    pub settings: S,
}
