//! What a child is started with, as one digest: while it stays the same the child need not be started anew.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::KIND;
use crate::connectors::Context;

/// The setting that names stored secrets, and what stands before their names among the connector's secrets.
const SLOTS: &str = "credential_slots";

/// The digest. It covers values of secrets, so it is neither shown nor stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Print([u8; 32]);

impl Print {
    /// Of a connector whose sidecar the daemon starts; none of others.
    pub(super) fn of(context: &Context) -> Option<Self> {
        if context.connector.kind != KIND {
            return None;
        }
        let settings: Value = serde_json::from_str(&context.settings).ok()?;
        if settings["mode"] != "child_process" {
            return None;
        }
        let mut hash = Sha256::new();
        for setting in ["base_url", "child_process"] {
            add(&mut hash, settings[setting].to_string().as_bytes());
        }
        for (slot, secret) in &context.secrets {
            add(&mut hash, slot.as_bytes());
            add(&mut hash, secret.expose());
        }
        Some(Self(hash.finalize().into()))
    }
}

fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

/// Under which name the secret of a credential is among the connector's secrets.
pub(super) fn slot(key: &str) -> String {
    format!("{SLOTS}.{key}")
}

#[cfg(test)]
impl Print {
    pub(super) fn for_tests(byte: u8) -> Self {
        Self([byte; 32])
    }
}
