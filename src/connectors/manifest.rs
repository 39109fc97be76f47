//! What a kind says about itself, as in `wit/manifest.schema.json`. Untrusted input: size, depth and every field are
//! checked when it is parsed.

use std::{collections::BTreeMap, sync::OnceLock};

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod check;
mod delivery;
mod egress;
mod pace;
mod presence;
mod secret_list;

pub(crate) use check::HOST_FIELDS;
pub use delivery::{DeliverySpec, LengthUnit};
pub use egress::{DestinationSpec, Origin};
pub use pace::PaceRule;
pub use presence::PresenceSpec;
pub use secret_list::SecretList;

/// Size of a manifest, in bytes.
const MANIFEST_BYTES: usize = 256 * 1024;

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is too large to be looked at.
    #[error("it has {0} bytes, the limit is {MANIFEST_BYTES}")]
    TooLarge(usize),
    /// It is not JSON of this shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// It breaks rules; a sentence for each.
    #[error("{}", .0.join("; "))]
    Rules(Vec<String>),
}

/// A manifest, parsed and checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The contract version that the plugin was written against: `0.1`.
    pub contract: String,
    /// The kind's name: `[a-z][a-z0-9_]{0,31}`.
    pub kind: String,
    /// The plugin's own version, for people.
    pub version: String,
    /// One sentence about it, for people.
    #[serde(default)]
    pub description: String,
    /// JSON Schema (2020-12) of the connector's settings; secrets and the host's own fields are not part of it.
    #[serde(default = "any_object")]
    pub settings: Value,
    /// Secret slots by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSlot>,
    /// Lists of secrets by name: one secret for each of many places, such as the workspaces of an app.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_lists: BTreeMap<String, SecretList>,
    /// How callers are authenticated, in order; every recipe whose secret is configured must pass.
    #[serde(default)]
    pub verification: Vec<Recipe>,
    /// Where connectors of the kind send requests, by name; nowhere else.
    #[serde(default)]
    pub egress: BTreeMap<String, DestinationSpec>,
    /// Push ingress.
    #[serde(default)]
    pub ingress: IngressSpec,
    /// How outputs are sent.
    #[serde(default)]
    pub delivery: DeliverySpec,
    /// The sign that an answer is on its way.
    #[serde(default)]
    pub presence: PresenceSpec,
    /// Made of `settings` when the first connector is checked: compiling it takes longer than a check.
    #[serde(skip)]
    validator: OnceLock<Option<Validator>>,
}

impl Manifest {
    /// Parses and checks a manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(text.len()));
        }
        let manifest: Self = serde_json::from_str(text)?;
        let broken = check::broken_rules(&manifest);
        if broken.is_empty() { Ok(manifest) } else { Err(ManifestError::Rules(broken)) }
    }

    /// The settings schema, ready to check settings. There is always one: a manifest is refused when its schema is none.
    pub fn validator(&self) -> Option<&Validator> {
        self.validator.get_or_init(|| jsonschema::validator_for(&self.settings).ok()).as_ref()
    }
}

/// A place for one secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSlot {
    /// What it is, for people.
    pub description: String,
    /// Whether a connector of this kind needs it.
    #[serde(default)]
    pub required: bool,
    /// Destinations that it may be sent to, of the manifest's `egress`; it never leaves the host otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_to: Vec<String>,
}

/// Push ingress.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    /// Methods that the route answers; others get 405.
    #[serde(default = "post_only")]
    pub methods: Vec<String>,
    /// Accepted events per second and connector, when the operator sets none.
    #[serde(default = "default_rate")]
    pub events_per_second: u32,
    /// Settings that, with one of these values, close the route: nobody needs to be authenticated where nobody is let in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub closed_by: BTreeMap<String, Value>,
    /// A body as callers of the kind send it, for test events: `{id}` and `{text}` in its texts are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Value>,
    /// The same for a connector that is open to anybody, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_sample: Option<Value>,
}

impl Default for IngressSpec {
    fn default() -> Self {
        Self {
            methods: post_only(),
            events_per_second: default_rate(),
            closed_by: BTreeMap::new(),
            sample: None,
            open_sample: None,
        }
    }
}

impl IngressSpec {
    /// Whether a connector with these settings lets nobody in.
    pub fn is_closed(&self, settings: &Value) -> bool {
        self.closed_by.iter().any(|(name, value)| settings.get(name) == Some(value))
    }
}

/// One way to authenticate a caller, executed by the host in constant time before any guest code runs. It applies when
/// the secret in its slot is configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Recipe {
    /// `Authorization: Bearer <secret>`, the prefix compared exactly.
    Bearer {
        /// The recipe's name, shown to the guest.
        id: String,
        /// The slot of the secret.
        slot: String,
    },
    /// A header whose value is the secret.
    HeaderEquals {
        /// The recipe's name, shown to the guest.
        id: String,
        /// The slot of the secret.
        slot: String,
        /// The header, in lower case.
        header: String,
    },
    /// An HMAC over a template.
    Hmac(HmacRecipe),
}

impl Recipe {
    /// The recipe's name.
    pub fn id(&self) -> &str {
        match self {
            Self::Bearer { id, .. } | Self::HeaderEquals { id, .. } => id,
            Self::Hmac(hmac) => &hmac.id,
        }
    }

    /// The slot whose secret switches the recipe on.
    pub fn slot(&self) -> &str {
        match self {
            Self::Bearer { slot, .. } | Self::HeaderEquals { slot, .. } => slot,
            Self::Hmac(hmac) => &hmac.slot,
        }
    }
}

/// An HMAC over a template of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacRecipe {
    /// The recipe's name, shown to the guest.
    pub id: String,
    /// The slot of the key.
    pub slot: String,
    /// The hash function.
    pub algorithm: Hash,
    /// What is signed: text with `{method}`, `{target}` (path and query as received), `{timestamp}` and `{body}`.
    pub template: String,
    /// The header with the signature, in lower case; it must occur exactly once.
    pub signature_header: String,
    /// What stands before the signature in that header.
    #[serde(default)]
    pub signature_prefix: String,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// The header with the Unix time in seconds, in lower case; it must occur exactly once. Needed by `{timestamp}`.
    pub timestamp_header: Option<String>,
    /// How many seconds the timestamp may differ from now, either way.
    #[serde(default = "default_max_age")]
    pub max_age_secs: u64,
    /// A setting (integer, seconds) that overrides `max_age_secs`.
    pub max_age_setting: Option<String>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-1; only for platforms that know nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal, either case.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}

fn any_object() -> Value {
    serde_json::json!({"type": "object"})
}

fn post_only() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn default_rate() -> u32 {
    60
}

fn default_max_age() -> u64 {
    300
}
