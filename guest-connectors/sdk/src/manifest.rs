//! What a kind says about itself: `wit/manifest.schema.json` as types.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

mod delivery;
mod egress;
mod recipe;

use delivery::DeliverySpec;
pub use delivery::{LengthUnit, Pace, UnknownPolicy};
pub use egress::Destination;
pub use recipe::{Encoding, Hash, Hmac, Recipe};

/// The contract version that this crate speaks.
const CONTRACT: &str = "0.1";

/// What a kind says about itself.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    contract: &'static str,
    kind: &'static str,
    version: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Value>,
    secrets: BTreeMap<&'static str, SecretSlot>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secret_lists: BTreeMap<&'static str, SecretList>,
    verification: Vec<Recipe>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    egress: BTreeMap<&'static str, Destination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<IngressSpec>,
    #[serde(skip_serializing_if = "DeliverySpec::is_silent")]
    delivery: DeliverySpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<PresenceSpec>,
}

impl Manifest {
    /// The least that a kind says: its name (`[a-z][a-z0-9_]{0,31}`), its version (`env!("CARGO_PKG_VERSION")`) and one
    /// sentence for people.
    pub fn new(kind: &'static str, version: &'static str, description: &'static str) -> Self {
        Self {
            contract: CONTRACT,
            kind,
            version,
            description,
            settings: None,
            secrets: BTreeMap::new(),
            secret_lists: BTreeMap::new(),
            verification: Vec::new(),
            egress: BTreeMap::new(),
            ingress: None,
            delivery: DeliverySpec::default(),
            presence: None,
        }
    }

    /// The JSON Schema (2020-12) of the connector's settings. Secrets and the host's own fields are not part of it.
    #[must_use]
    pub fn settings(mut self, schema: Value) -> Self {
        self.settings = Some(schema);
        self
    }

    /// A secret that a connector may have. Its bytes never reach the connector.
    #[must_use]
    pub fn secret(mut self, slot: &'static str, description: &'static str) -> Self {
        self.secrets.insert(slot, SecretSlot { description, required: false, sent_to: Vec::new() });
        self
    }

    /// A secret that a connector must have.
    #[must_use]
    pub fn required_secret(mut self, slot: &'static str, description: &'static str) -> Self {
        self.secrets.insert(slot, SecretSlot { description, required: true, sent_to: Vec::new() });
        self
    }

    /// A list of secrets: each entry has a member `key`, which tells it from the others, and a member `secret`. The settings have
    /// the keys, under the list's name; the secret of an entry is in the slot `{name}.{key of the entry}.{secret}`.
    #[must_use]
    pub fn secret_list(
        mut self,
        name: &'static str,
        (key, secret): (&'static str, &'static str),
        description: &'static str,
    ) -> Self {
        self.secret_lists.insert(name, SecretList { description, key, secret, sent_to: Vec::new() });
        self
    }

    /// A place that connectors send requests to, under a name of its own: `[a-z][a-z0-9_]{0,63}`. Requests to any other are
    /// denied.
    #[must_use]
    pub fn egress(mut self, name: &'static str, destination: Destination) -> Self {
        self.egress.insert(name, destination);
        self
    }

    /// The secret in this slot, or those of this list, may go to these destinations and to no others. Without this they never
    /// leave the host.
    ///
    /// # Panics
    ///
    /// When there is no such slot or list: it is declared first.
    #[must_use]
    pub fn sent_to(mut self, slot: &'static str, destinations: &[&'static str]) -> Self {
        let single = self.secrets.get_mut(slot).map(|declared| &mut declared.sent_to);
        let sent_to = single.or_else(|| self.secret_lists.get_mut(slot).map(|declared| &mut declared.sent_to));
        match sent_to {
            Some(sent_to) => *sent_to = destinations.to_vec(),
            None => panic!("there is no secret slot or list `{slot}`"),
        }
        self
    }

    /// One more way to verify a caller. Every recipe whose secret is configured must pass, in this order.
    #[must_use]
    pub fn verify(mut self, recipe: impl Into<Recipe>) -> Self {
        self.verification.push(recipe.into());
        self
    }

    /// The methods that the route answers, and how many events it takes in a second where the operator says nothing.
    #[must_use]
    pub fn ingress(mut self, methods: &[&'static str], events_per_second: u32) -> Self {
        self.ingress = Some(IngressSpec {
            methods: methods.to_vec(),
            events_per_second,
            closed_by: BTreeMap::new(),
            sample: None,
            open_sample: None,
        });
        self
    }

    /// The most that one text may have. The host cuts longer ones into parts and sends them one by one.
    #[must_use]
    pub fn part_limit(mut self, limit: usize, unit: LengthUnit) -> Self {
        self.delivery = DeliverySpec { limit: Some(limit), unit: Some(unit), whole: false, ..self.delivery };
        self
    }

    /// The most of a text that goes along with a file, in the unit of [`Self::part_limit`]. The first file of an output takes the
    /// beginning of its text, and the rest follows in parts of its own. Without it files go by themselves.
    #[must_use]
    pub fn caption_limit(mut self, limit: usize) -> Self {
        self.delivery = DeliverySpec { caption: Some(limit), whole: false, ..self.delivery };
        self
    }

    /// A call takes an output whole: all of its text, and its files beside it.
    #[must_use]
    pub fn whole_deliveries(mut self) -> Self {
        self.delivery = DeliverySpec { limit: None, unit: None, caption: None, whole: true, ..self.delivery };
        self
    }

    /// Of these secret slots and lists one has to be filled where events are answered along their own routes.
    #[must_use]
    pub fn answers_with(mut self, secrets: &[&'static str]) -> Self {
        self.delivery.needs = secrets.to_vec();
        self
    }

    /// What follows when nobody knows whether a part arrived, where the operator says nothing.
    #[must_use]
    pub fn unknown_deliveries(mut self, policy: UnknownPolicy) -> Self {
        self.delivery.unknown = Some(policy);
        self
    }

    /// One more rate at which the host sends; the narrowest comes first. A message waits until all that are for its route let it
    /// through, without an attempt, a worker or another conversation being lost to it.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.delivery.pace.push(pace);
        self
    }

    /// How long the platform shows the sign of a [`Presence`](crate::Presence), in milliseconds: 1,000 to 3,600,000, 5,000 where
    /// nothing is said.
    #[must_use]
    pub fn sign_lasts(mut self, lasts_ms: u64) -> Self {
        self.presence = Some(PresenceSpec { lasts_ms });
        self
    }

    /// With this value of this setting the route takes nothing: 409, and nobody needs to be authenticated. Comes after
    /// [`Self::ingress`].
    #[must_use]
    pub fn closed_by(mut self, setting: &'static str, value: impl Into<Value>) -> Self {
        if let Some(ingress) = &mut self.ingress {
            ingress.closed_by.insert(setting, value.into());
        }
        self
    }

    /// A body as callers send it, for test events: `{id}` and `{text}` in its texts are filled in by the host. Comes after
    /// [`Self::ingress`].
    #[must_use]
    pub fn sample(mut self, body: Value) -> Self {
        if let Some(ingress) = &mut self.ingress {
            ingress.sample = Some(body);
        }
        self
    }

    /// The same for a connector that is open to anybody, where that differs.
    #[must_use]
    pub fn open_sample(mut self, body: Value) -> Self {
        if let Some(ingress) = &mut self.ingress {
            ingress.open_sample = Some(body);
        }
        self
    }

    /// The manifest as the host reads it.
    pub fn to_json(&self) -> String {
        crate::json::text(self)
    }
}

#[derive(Clone, Debug, Serialize)]
struct SecretSlot {
    description: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sent_to: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct SecretList {
    description: &'static str,
    key: &'static str,
    secret: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sent_to: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct PresenceSpec {
    lasts_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
struct IngressSpec {
    methods: Vec<&'static str>,
    events_per_second: u32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    closed_by: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_sample: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_parts_are_left_to_the_host() {
        let manifest = Manifest::new("plain", "1.0.0", "Nothing special.");
        let expected = json!({
            "contract": "0.1", "kind": "plain", "version": "1.0.0", "description": "Nothing special.",
            "secrets": {}, "verification": [],
        });
        assert_eq!(serde_json::from_str::<Value>(&manifest.to_json()).unwrap(), expected);
    }

    #[test]
    fn a_recipe_names_its_scheme() {
        let manifest = Manifest::new("plain", "1.0.0", "Nothing special.")
            .required_secret("key", "The key.")
            .verify(Hmac { id: "hmac", slot: "key", template: "{body}", signature_header: "x-mac", ..Hmac::default() })
            .verify(Recipe::Bearer { id: "bearer", slot: "key" })
            .ingress(&["POST"], 5);
        let value: Value = serde_json::from_str(&manifest.to_json()).unwrap();
        let hmac = json!({
            "scheme": "hmac", "id": "hmac", "slot": "key", "algorithm": "sha256", "template": "{body}",
            "signature_header": "x-mac", "signature_prefix": "", "encoding": "hex",
        });
        assert_eq!(value["verification"], json!([hmac, {"scheme": "bearer", "id": "bearer", "slot": "key"}]));
        assert_eq!(value["secrets"]["key"]["required"], true);
        assert_eq!(value["ingress"], json!({"methods": ["POST"], "events_per_second": 5}));
    }

    #[test]
    fn rates_come_in_their_order() {
        let manifest = Manifest::new("plain", "1.0.0", "Nothing special.")
            .pace(Pace::by("/chat_id", 20, 60_000).starting("-").burst(5))
            .pace(Pace::of_all(30, 1_000));
        let value: Value = serde_json::from_str(&manifest.to_json()).unwrap();
        let expected = json!([
            {"by": "/chat_id", "starting": "-", "amount": 20, "per_ms": 60_000, "burst": 5},
            {"amount": 30, "per_ms": 1_000, "burst": 1},
        ]);
        assert_eq!(value["delivery"]["pace"], expected);
    }

    #[test]
    fn a_secret_names_the_destinations_that_it_may_go_to() {
        let manifest = Manifest::new("plain", "1.0.0", "Nothing special.")
            .required_secret("token", "The token.")
            .egress("api", Destination::to(&["https://api.example.com"]).unless_set("api_base_url"))
            .egress("files", Destination::to(&["https://*.example.net", "https://files.example.com"]))
            .sent_to("token", &["api"]);
        let value: Value = serde_json::from_str(&manifest.to_json()).unwrap();
        assert_eq!(value["secrets"]["token"]["sent_to"], json!(["api"]));
        let expected = json!({
            "api": {"origins": ["https://api.example.com"], "setting": "api_base_url"},
            "files": {"origins": ["https://*.example.net", "https://files.example.com"]},
        });
        assert_eq!(value["egress"], expected);
    }

    #[test]
    fn a_list_of_secrets_says_what_its_entries_have() {
        let manifest = Manifest::new("plain", "1.0.0", "Nothing special.")
            .secret_list("tokens", ("team_id", "token"), "One for each team.")
            .egress("api", Destination::to(&["https://api.example.com"]))
            .sent_to("tokens", &["api"])
            .answers_with(&["tokens"]);
        let value: Value = serde_json::from_str(&manifest.to_json()).unwrap();
        let list =
            json!({"description": "One for each team.", "key": "team_id", "secret": "token", "sent_to": ["api"]});
        assert_eq!(value["secret_lists"], json!({"tokens": list}));
        assert_eq!(value["delivery"]["needs"], json!(["tokens"]));
    }
}
