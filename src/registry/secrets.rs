//! Changes of secrets, in turn with those of connectors: a secret that one rests on cannot be deleted, and a new value
//! reaches its connectors before the caller hears that it is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    Connectors,
    change::Refused,
    definition::Definition,
    entry::Entry,
    host_fields, pauses,
    persist::{StoreSecret, Tell},
    secret_fields,
};
use crate::{
    delivery::{pause::Cause, targets::signed_with},
    model::{
        happening::secret_updated,
        ids::{ConnectorId, SessionId},
        secret::SecretStatus,
    },
    secrets::Secret,
    store::{StoreError, session_targets},
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
    /// Replies of sessions are signed with it.
    #[error("replies of sessions are signed with secret `{0}`: set their reply targets anew first ({list})", list = first(.1))]
    Signs(String, Vec<SessionId>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealed store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The first of many.
fn first(sessions: &[SessionId]) -> String {
    sessions.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Connectors {
    /// The names of secrets that a connector rests on: in its slots, in its settings, and to sign its own targets with.
    fn named(&self, entry: &Entry) -> BTreeSet<String> {
        let Definition { id, fields, .. } = &*entry.definition;
        let signing = host_fields::reply_targets(fields).into_iter().filter_map(|(_, target)| signed_with(&target));
        let stored = self.stored_secrets(id, fields);
        secret_fields::references(fields).into_iter().map(str::to_owned).chain(signing).chain(stored).collect()
    }

    /// The names of secrets that settings name beside slots.
    pub(super) fn stored_secrets(&self, id: &ConnectorId, fields: &Map<String, Value>) -> Vec<String> {
        let plugin = self.kinds().plugin(&id.kind);
        let stored = plugin.map(|plugin| plugin.stored_secrets(fields)).unwrap_or_default();
        stored.into_iter().map(|stored| stored.secret).collect()
    }

    /// Connectors that refer to a secret.
    pub fn users_of(&self, secret: &str) -> Vec<Arc<Entry>> {
        self.all().into_iter().filter(|entry| self.named(entry).contains(secret)).collect()
    }

    /// Connectors that refer to each secret, by its name: all connectors are looked at once, however many secrets there are.
    /// Secrets that nobody refers to are absent.
    pub fn users_by_secret(&self) -> BTreeMap<String, Vec<Arc<Entry>>> {
        let mut users: BTreeMap<String, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in self.all() {
            for name in self.named(&entry) {
                users.entry(name).or_default().push(Arc::clone(&entry));
            }
        }
        users
    }

    /// Stores a secret, new or in place of its former value.
    pub async fn put_secret(&self, name: &str, value: &Secret) -> Result<SecretStatus, Refused> {
        let _turn = self.turn.lock().await;
        let users = self.users_of(name).iter().map(|entry| (entry.definition.id.to_string(), Cause::Secret)).collect();
        let seal = self.builder.vault.seal(name, value)?;
        let (status, lifted) = self.store.write(StoreSecret { seal, users, now_ms: self.clock.now_ms() }).await?;
        pauses::log_lifted(&lifted);
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
        let lists = session_targets::holding(&self.store, "signing_secret_ref").await?;
        let signs = |targets: &[_]| targets.iter().any(|target| signed_with(target).as_deref() == Some(name));
        let sessions: Vec<_> = lists.into_iter().filter(|(_, list)| signs(&list.targets)).map(|(id, _)| id).collect();
        if !sessions.is_empty() {
            return Err(NotDeleted::Signs(name.to_owned(), sessions));
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
