//! The vault: secrets at rest, sealed under data keys that the master key wraps.
//!
//! The rows are the truth: a value is read with the key that sealed it in one statement, and sealed in the transaction
//! that writes it, where its version and the latest data key are known. So a rotation and a write that meet lose neither,
//! and nothing in memory can be out of date but the master key. Whatever passes through is known to [`mask`] from then on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

pub mod check;
mod keyring;
mod rotate;
mod write;

pub use rotate::Rotated;
pub use write::{ToSeal, delete, write};

use check::InvalidSecret;
use keyring::Keyring;
use write::{Delete, Put};

use crate::{
    clock::Clock,
    model::secret::SecretStatus,
    secrets::{
        Secret, mask,
        master_key::{MasterKeyError, MasterKeySource},
        seal::{KeyId, Place, SealError, sealed_by},
    },
    store::{
        Store, StoreError,
        data_keys::{self, WrappedKey},
        secrets::{self, KeyedRow},
    },
};

/// Secrets that are read with one statement.
const PAGE: u16 = 256;
/// How often a secret is read that was sealed anew under another master key between the read and its opening.
const READS: u32 = 3;

/// Why the vault did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The master key is missing, wrong, or cannot be read or written.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// A data key cannot be unwrapped.
    #[error("data key {id} of the store cannot be unwrapped: {error}. Put the store back from a backup")]
    DataKey {
        /// Its id.
        id: i64,
        /// Why.
        error: SealError,
    },
    /// A secret cannot be opened.
    #[error(
        "secret `{name}` cannot be opened: {error}. Put the store back from a backup, or delete its row in the table \
         `secrets` and set it anew"
    )]
    Secret {
        /// Its name.
        name: String,
        /// Why.
        error: SealError,
    },
    /// The data key that sealed a secret is gone.
    #[error(
        "secret `{name}` cannot be opened: data key {key}, which sealed it, is not in the store. Put the store back \
         from a backup, or delete its row in the table `secrets` and set it anew"
    )]
    KeyGone {
        /// The secret's name.
        name: String,
        /// The key's id.
        key: i64,
    },
    /// A name or a value breaks its rules.
    #[error(transparent)]
    Invalid(#[from] InvalidSecret),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle to the vault. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    folder: PathBuf,
    source: MasterKeySource,
    keyring: Arc<Keyring>,
    /// Held by the rotation under way.
    rotating: Mutex<()>,
}

impl Vault {
    /// Opens the vault in `store`. Loads the master key, or makes it at the first start; unwraps every data key, or makes
    /// the first; and opens every secret once. Errors are for the operator: the daemon should not start.
    pub async fn open(
        store: &Store,
        clock: &Clock,
        state_folder: &Path,
        source: MasterKeySource,
    ) -> Result<Self, VaultError> {
        let keys = data_keys::all(store).await?;
        if keys.is_empty() {
            // Found out below too, but by then a key that opens nothing would have been made.
            refuse_secrets_without_keys(store).await?;
        }
        let master = source.load(state_folder, sealed_under(&keys)?)?;
        mask::remember(&Secret::new(master.expose()));
        let keyring = Arc::new(Keyring::new(master));
        for key in &keys {
            keyring.unwrap(key).map_err(|error| VaultError::DataKey { id: key.id, error })?;
        }
        let vault = Self(Arc::new(Inner {
            store: store.clone(),
            clock: clock.clone(),
            folder: state_folder.to_owned(),
            source,
            keyring,
            rotating: Mutex::new(()),
        }));
        vault.open_all().await?;
        vault.add_data_key(true).await?;
        Ok(vault)
    }

    async fn open_all(&self) -> Result<(), VaultError> {
        let mut after = String::new();
        loop {
            let page = secrets::page(&self.0.store, &after, PAGE.into()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.row.name);
            for row in &page {
                mask::remember(&self.unseal(row)?);
            }
        }
    }

    /// The present value of a secret.
    pub async fn get(&self, name: &str) -> Result<Option<Secret>, VaultError> {
        let mut reads = 1;
        loop {
            let Some(row) = secrets::get(&self.0.store, name).await? else { return Ok(None) };
            match self.unseal(&row) {
                Err(VaultError::DataKey { error: SealError::OtherKey { .. }, .. }) if reads < READS => reads += 1,
                opened => {
                    let secret = opened?;
                    mask::remember(&secret);
                    return Ok(Some(secret));
                }
            }
        }
    }

    /// The present values of many secrets, with few statements. What is not there, or cannot be opened, is left out:
    /// [`Self::get`] says why.
    pub async fn get_many(&self, names: &[&str]) -> Result<BTreeMap<String, Secret>, VaultError> {
        let mut found = BTreeMap::new();
        for names in names.chunks(PAGE.into()) {
            for row in secrets::some(&self.0.store, names).await? {
                let Ok(secret) = self.unseal(&row) else { continue };
                mask::remember(&secret);
                found.insert(row.row.name, secret);
            }
        }
        Ok(found)
    }

    fn unseal(&self, KeyedRow { row, key }: &KeyedRow) -> Result<Secret, VaultError> {
        let Some(key) = key else { return Err(VaultError::KeyGone { name: row.name.clone(), key: row.key_id }) };
        let key = self.0.keyring.unwrap(key).map_err(|error| VaultError::DataKey { id: key.id, error })?;
        let opened = key.open(&place(&row.name, row.version), &row.sealed);
        opened.map_err(|error| VaultError::Secret { name: row.name.clone(), error })
    }

    /// What [`write()`] takes: a value that is sealed in the transaction that writes it. Fails where the name or the value
    /// breaks its rules.
    pub fn seal(&self, name: &str, secret: &Secret) -> Result<ToSeal, VaultError> {
        check::name(name)?;
        check::value(name, secret)?;
        mask::remember(secret);
        Ok(ToSeal::new(name, secret, &self.0.keyring))
    }

    /// Writes a value; durable on return.
    pub async fn put(&self, name: &str, secret: &Secret) -> Result<SecretStatus, VaultError> {
        let put = Put { secret: self.seal(name, secret)?, now_ms: self.0.clock.now_ms() };
        Ok(self.0.store.write(put).await?)
    }

    /// Deletes a secret. Says whether there was one.
    pub async fn delete(&self, name: &str) -> Result<bool, VaultError> {
        Ok(self.0.store.write(Delete { name: name.to_owned() }).await?)
    }

    /// What may be said about every secret, in the order of their names.
    pub async fn list(&self) -> Result<Vec<SecretStatus>, VaultError> {
        let mut list = secrets::list(&self.0.store).await?;
        list.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(list)
    }

    /// What may be said about a secret.
    pub async fn get_status(&self, name: &str) -> Result<Option<SecretStatus>, VaultError> {
        Ok(secrets::status(&self.0.store, name).await?)
    }
}

/// The master key that wrapped the data keys; one transaction wraps them all, so one tells for all.
async fn refuse_secrets_without_keys(store: &Store) -> Result<(), VaultError> {
    match secrets::page(store, "", 1).await?.pop() {
        Some(KeyedRow { row, .. }) => Err(VaultError::KeyGone { name: row.name, key: row.key_id }),
        None => Ok(()),
    }
}

fn sealed_under(keys: &[WrappedKey]) -> Result<Option<KeyId>, VaultError> {
    let wrapped_by =
        |key: &WrappedKey| sealed_by(&key.wrapped).map_err(|error| VaultError::DataKey { id: key.id, error });
    keys.first().map(wrapped_by).transpose()
}

/// Where a secret's value stands in the store.
fn place(name: &str, version: i64) -> Place<'_> {
    Place { table: "secrets", row: name, column: "sealed", version }
}

#[cfg(test)]
mod tests;
