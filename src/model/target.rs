//! Where outputs go.

use serde::{Deserialize, Serialize};

/// A reply target as the contract writes it (section 7): a plugin and an address in that plugin's form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyTarget {
    /// The plugin that delivers; `http` is built in.
    pub plugin: String,
    /// A raw URL or JSON text, as the plugin defines it.
    pub address: String,
}
