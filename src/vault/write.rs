//! Values on their way into the store, sealed in the transaction that writes them.

use std::sync::Arc;

use super::{keyring::Keyring, place};
use crate::{
    model::secret::SecretStatus,
    secrets::{Secret, seal::DataKey},
    store::{
        StoreError, data_keys,
        secrets::{self, SealedRow},
        writer::{Command, Tx},
    },
};

/// How often a value is sealed anew because another daemon wrote the same secret at the same time.
const TRIES: u32 = 20;

/// A value that is sealed when a transaction writes it. Made by `Vault::seal`.
#[derive(Clone)]
pub struct ToSeal {
    name: String,
    secret: Secret,
    keyring: Arc<Keyring>,
}

impl ToSeal {
    pub(super) fn new(name: &str, secret: &Secret, keyring: &Arc<Keyring>) -> Self {
        Self { name: name.to_owned(), secret: secret.clone(), keyring: Arc::clone(keyring) }
    }

    /// The secret's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn write(&self, tx: &mut Tx<'_>, key: &DataKey, now_ms: i64) -> Result<SecretStatus, StoreError> {
        for _ in 0..TRIES {
            let version = secrets::version(tx, &self.name).await?.unwrap_or(0) + 1;
            let sealed = key
                .seal(&place(&self.name, version), &self.secret)
                .map_err(|_| StoreError::Damaged("the system gave no random bytes to seal a secret with"))?;
            let row = SealedRow { name: self.name.clone(), version, key_id: key.id(), sealed };
            if let Some(status) = secrets::put(tx, &row, now_ms).await? {
                return Ok(status);
            }
        }
        Err(StoreError::Unavailable("others write the same secret all the time".to_owned()))
    }
}

impl std::fmt::Debug for ToSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToSeal({})", self.name)
    }
}

/// Seals and writes values in a transaction of the caller's. Says what became of each, in order.
pub async fn write(tx: &mut Tx<'_>, values: &[ToSeal], now_ms: i64) -> Result<Vec<SecretStatus>, StoreError> {
    let Some(first) = values.first() else { return Ok(Vec::new()) };
    let latest = data_keys::hold_latest(tx).await?;
    let latest = latest.ok_or(StoreError::Damaged("there is no data key to seal secrets with"))?;
    let key = first.keyring.unwrap(&latest);
    let key = key.map_err(|_| StoreError::Damaged("the data key that seals secrets cannot be unwrapped"))?;
    let mut written = Vec::with_capacity(values.len());
    for value in values {
        written.push(value.write(tx, &key, now_ms).await?);
    }
    Ok(written)
}

/// Deletes secrets in a transaction of the caller's. Says how many there were.
pub async fn delete(tx: &mut Tx<'_>, names: &[&str]) -> Result<usize, StoreError> {
    let mut deleted = 0;
    for name in names {
        deleted += usize::from(secrets::delete(tx, name).await?);
    }
    Ok(deleted)
}

/// Writes one value.
pub(super) struct Put {
    pub(super) secret: ToSeal,
    pub(super) now_ms: i64,
}

impl Command for Put {
    type Reply = SecretStatus;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<SecretStatus>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for put in batch {
            replies.extend(write(tx, std::slice::from_ref(&put.secret), put.now_ms).await?);
        }
        Ok(replies)
    }
}

/// Deletes one secret.
pub(super) struct Delete {
    pub(super) name: String,
}

impl Command for Delete {
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for Delete { name } in batch {
            replies.push(secrets::delete(tx, name).await?);
        }
        Ok(replies)
    }
}
