//! Changes of secrets, in turn with those of connectors: a secret that one rests on cannot be deleted, and a new value
//! reaches its connectors before the caller hears that it is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Connectors, change::Refused, entry::Entry, persist::Tell, secret_fields};
use crate::{
    model::{happening::secret_updated, secret::SecretStatus},
    secrets::Secret,
    vault::{Rotated, VaultError},
};

/// Why a secret was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum NotDeleted {
    /// There is none of this name.
    #[error("there is no secret `{0}`")]
    Unknown(String),
    /// Connectors rest on it.
    #[error("connectors use secret `{0}`: give them another one first ({list})", list = .1.join(", "))]
    Used(String, Vec<String>),
    /// The sealed store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Connectors {
    /// Connectors that refer to a secret.
    pub fn users_of(&self, secret: &str) -> Vec<Arc<Entry>> {
        let uses = |entry: &Arc<Entry>| secret_fields::references(&entry.definition.fields).any(|name| name == secret);
        self.all().into_iter().filter(uses).collect()
    }

    /// Connectors that refer to each secret, by its name: all connectors are looked at once, however many secrets there are.
    /// Secrets that nobody refers to are absent.
    pub fn users_by_secret(&self) -> BTreeMap<String, Vec<Arc<Entry>>> {
        let mut users: BTreeMap<String, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in self.all() {
            // Two slots may refer to one secret.
            let named: BTreeSet<&str> = secret_fields::references(&entry.definition.fields).collect();
            for name in named {
                users.entry(name.to_owned()).or_default().push(Arc::clone(&entry));
            }
        }
        users
    }

    /// Stores a secret, new or in place of its former value.
    pub async fn put_secret(&self, name: &str, value: &Secret) -> Result<SecretStatus, Refused> {
        let _turn = self.turn.lock().await;
        let status = self.builder.vault.put(name, value).await?;
        self.secret_changed(name).await;
        self.tell_of_secret(name, "stored").await;
        Ok(status)
    }

    /// Forgets a secret that nobody uses.
    pub async fn delete_secret(&self, name: &str) -> Result<(), NotDeleted> {
        let _turn = self.turn.lock().await;
        let users: Vec<String> = self.users_of(name).iter().map(|entry| entry.definition.id.to_string()).collect();
        if !users.is_empty() {
            return Err(NotDeleted::Used(name.to_owned(), users));
        }
        if !self.builder.vault.delete(name).await? {
            return Err(NotDeleted::Unknown(name.to_owned()));
        }
        self.tell_of_secret(name, "deleted").await;
        Ok(())
    }

    /// What is known of one secret.
    pub async fn secret(&self, name: &str) -> Result<Option<SecretStatus>, VaultError> {
        self.builder.vault.get_status(name).await
    }

    /// What is known of all secrets, in the order of their names.
    pub async fn secrets(&self) -> Result<Vec<SecretStatus>, VaultError> {
        self.builder.vault.list().await
    }

    /// Seals every secret under a new key.
    pub async fn rotate_keys(&self) -> Result<Rotated, VaultError> {
        self.builder.vault.rotate_keys().await
    }

    async fn tell_of_secret(&self, name: &str, change: &str) {
        let told = self.store.write(Tell { events: vec![secret_updated(name, change)] }).await;
        if let Err(error) = told {
            tracing::warn!(%error, "a change of secret `{name}` could not be told to event streams: {error}");
        }
    }
}
