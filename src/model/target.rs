//! Where outputs go.

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// A reply target as the contract writes it (section 7): a plugin and an address in that plugin's form. It is read from any
/// form in [`super::written`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct ReplyTarget {
    /// The plugin that delivers; `http` is built in.
    pub plugin: String,
    /// A raw URL or JSON text, as the plugin defines it.
    pub address: String,
}

impl ReplyTarget {
    /// The lane of the address: deliveries of one lane go in order. Hashed, because addresses can hold secrets and lanes
    /// show in logs.
    pub fn lane(&self) -> String {
        format!("{}:{}", self.plugin, hex::encode(&Sha256::digest(&self.address)[..8]))
    }
}
