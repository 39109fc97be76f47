//! New keys in the place of old ones, while everything goes on.
//!
//! The master key comes first: a new data key is then never wrapped under the old one, whose copies may be known. Its file
//! is written before the store depends on it and takes its place afterwards; whatever stops in between,
//! [`MasterKeySource::load`] finds the right one.

use std::sync::Arc;

use super::{Vault, VaultError, keyring::Keyring, place, sealed_under};
use crate::{
    secrets::{
        Secret, mask,
        master_key::{self, MasterKeyError, MasterKeySource},
        seal::{DataKey, MasterKey, SealError},
    },
    store::{
        StoreError,
        data_keys::{self, WrappedKey},
        secrets::{self, SealedRow},
        writer::{Command, Tx},
    },
};

/// Secrets that are sealed anew in one commit, so that others wait for a moment only.
const BATCH: i64 = 64;
/// How often the rest is looked for: another daemon may seal with a former key while it is being replaced.
const ROUNDS: u32 = 20;

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The id of the new data key.
    pub data_key: i64,
    /// How many secrets were sealed anew.
    pub secrets: u64,
    /// Whether the master key was replaced too. One that a variable gives, or that the state folder has a link to, is for
    /// whoever keeps it to replace.
    pub master_key_replaced: bool,
}

impl Vault {
    /// Seals every secret anew under a new data key, and deletes the old ones. Replaces the master key too where it lies in the
    /// state folder itself. Goes on to its end when the caller goes away; one rotation waits for another.
    pub async fn rotate_keys(&self) -> Result<Rotated, VaultError> {
        let vault = self.clone();
        let rotation = tokio::spawn(async move { vault.rotate().await });
        rotation.await.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string()).into()))
    }

    async fn rotate(&self) -> Result<Rotated, VaultError> {
        let _turn = self.0.rotating.lock().await;
        let master_key_replaced = self.replace_master_key().await?;
        let data_key = self.add_data_key(false).await?;
        let mut secrets = 0;
        for _ in 0..ROUNDS {
            secrets += self.seal_anew(data_key).await?;
            if self.0.store.write(DeleteUnused { latest: data_key }).await? == 0 {
                break;
            }
        }
        self.0.keyring.forget_other();
        tracing::info!(data_key, secrets, master_key_replaced, "the vault's keys were replaced");
        Ok(Rotated { data_key, secrets, master_key_replaced })
    }

    /// Replaces the master key where it is the daemon's to replace. Says whether it is.
    async fn replace_master_key(&self) -> Result<bool, VaultError> {
        if matches!(self.0.source, MasterKeySource::Given { .. }) {
            return Ok(false);
        }
        self.settle_master_key().await?;
        if !master_key::is_own(&self.0.folder)? {
            return Ok(false);
        }
        let next = self.write_next_master_key().await?;
        let id = next.id();
        self.wrap_under(next).await?;
        self.promote_master_key().await?;
        let path = self.0.folder.join(master_key::FILE);
        tracing::info!(
            "the master key in `{}` is now {id}: keep a copy of it, and the former copy as long as backups of the store \
             from before",
            path.display()
        );
        Ok(true)
    }

    /// Ends a replacement of the master key that failed midway in this process: what it wrote may be what counts.
    async fn settle_master_key(&self) -> Result<(), VaultError> {
        let sealed_under = sealed_under(&data_keys::all(&self.0.store).await?)?;
        let (source, folder) = (self.0.source.clone(), self.0.folder.clone());
        self.0.keyring.replace(on_disk(move || source.load(&folder, sealed_under)).await?);
        Ok(())
    }

    /// The first step: the new key is on disk, and nothing depends on it.
    pub(super) async fn write_next_master_key(&self) -> Result<MasterKey, VaultError> {
        let next = MasterKey::random().map_err(MasterKeyError::NotMade)?;
        mask::remember(&Secret::new(next.expose()));
        let (key, folder) = (next.clone(), self.0.folder.clone());
        on_disk(move || master_key::write_next(&folder, &key)).await?;
        Ok(next)
    }

    /// The second step: the store depends on the new key.
    pub(super) async fn wrap_under(&self, next: MasterKey) -> Result<(), VaultError> {
        // Readers may meet its work before this task hears of the commit.
        self.0.keyring.expect(next.clone());
        let rewrap = Rewrap { keyring: Arc::clone(&self.0.keyring), next: next.clone() };
        self.0.store.write(rewrap).await?.map_err(|(id, error)| VaultError::DataKey { id, error })?;
        self.0.keyring.replace(next);
        Ok(())
    }

    /// The third step: the new key has its name.
    pub(super) async fn promote_master_key(&self) -> Result<(), VaultError> {
        let folder = self.0.folder.clone();
        on_disk(move || master_key::promote(&folder)).await
    }

    /// Makes a data key, which seals from then on; where `first`, only if there is none. Says the id of the latest.
    pub(super) async fn add_data_key(&self, first: bool) -> Result<i64, VaultError> {
        let add = AddDataKey { keyring: Arc::clone(&self.0.keyring), first, now_ms: self.0.clock.now_ms() };
        Ok(self.0.store.write(add).await?)
    }

    /// Seals under `data_key` what keys before it sealed. Says how many that were.
    pub(super) async fn seal_anew(&self, data_key: i64) -> Result<u64, VaultError> {
        let mut sum = 0;
        loop {
            let reseal = SealAnew { keyring: Arc::clone(&self.0.keyring), data_key };
            match self.0.store.write(reseal).await?.map_err(broken)? {
                0 => return Ok(sum),
                count => sum += count,
            }
        }
    }
}

/// File work, off the threads that everything else runs on.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MasterKeyError> + Send + 'static,
) -> Result<T, VaultError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| StoreError::Unavailable(error.to_string()))??)
}

fn broken(broken: Broken) -> VaultError {
    match broken {
        Broken::Key { id, error } => VaultError::DataKey { id, error },
        Broken::KeyGone { name, key } => VaultError::KeyGone { name, key },
        Broken::Secret { name, error } => VaultError::Secret { name, error },
    }
}

/// Adds a data key.
struct AddDataKey {
    keyring: Arc<Keyring>,
    first: bool,
    now_ms: i64,
}

impl Command for AddDataKey {
    type Reply = i64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<i64>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for add in batch {
            replies.push(add.apply_one(tx).await?);
        }
        Ok(replies)
    }
}

impl AddDataKey {
    async fn apply_one(&self, tx: &mut Tx<'_>) -> Result<i64, StoreError> {
        for _ in 0..ROUNDS {
            let latest = data_keys::hold_latest(tx).await?.map(|key| key.id);
            if let (true, Some(latest)) = (self.first, latest) {
                return Ok(latest);
            }
            let key = self.keyring.make(latest.unwrap_or(0) + 1);
            let key = key.map_err(|_| StoreError::Damaged("the system gave no random bytes to make a key from"))?;
            if data_keys::insert(tx, &key, self.now_ms).await? {
                return Ok(key.id);
            }
        }
        Err(StoreError::Unavailable("others add keys all the time".to_owned()))
    }
}

/// Wraps every data key under another master key.
struct Rewrap {
    keyring: Arc<Keyring>,
    next: MasterKey,
}

impl Command for Rewrap {
    /// The data key that could not be unwrapped, and why; then nothing was written.
    type Reply = Result<(), (i64, SealError)>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for Rewrap { keyring, next } in batch {
            let keys = data_keys::hold_all(tx).await?;
            let rewrap = |key: &WrappedKey| {
                let wrapped = keyring.unwrap(key).and_then(|open| next.wrap(&open)).map_err(|error| (key.id, error))?;
                Ok(WrappedKey { id: key.id, wrapped })
            };
            match keys.iter().map(rewrap).collect::<Result<Vec<_>, _>>() {
                Ok(keys) => {
                    for key in &keys {
                        data_keys::rewrap(tx, key).await?;
                    }
                    replies.push(Ok(()));
                }
                Err(error) => replies.push(Err(error)),
            }
        }
        Ok(replies)
    }
}

/// What stands in the way of sealing anew.
enum Broken {
    Key { id: i64, error: SealError },
    KeyGone { name: String, key: i64 },
    Secret { name: String, error: SealError },
}

/// Seals some secrets anew.
struct SealAnew {
    keyring: Arc<Keyring>,
    data_key: i64,
}

impl SealAnew {
    fn sealed(&self, keys: &[DataKey], row: &SealedRow) -> Result<Vec<u8>, Broken> {
        let gone = |key| Broken::KeyGone { name: row.name.clone(), key };
        let find = |id| keys.iter().find(|key| key.id() == id).ok_or_else(|| gone(id));
        let (former, next) = (find(row.key_id)?, find(self.data_key)?);
        let place = place(&row.name, row.version);
        let anew = former.open(&place, &row.sealed).and_then(|secret| next.seal(&place, &secret));
        anew.map_err(|error| Broken::Secret { name: row.name.clone(), error })
    }

    async fn apply_one(&self, tx: &mut Tx<'_>) -> Result<Result<u64, Broken>, StoreError> {
        let keys = data_keys::hold_all(tx).await?;
        let rows = secrets::sealed_before(tx, self.data_key, BATCH).await?;
        let unwrap = |key: &WrappedKey| self.keyring.unwrap(key).map_err(|error| Broken::Key { id: key.id, error });
        // All is opened before anything is written: a refusal writes nothing.
        let anew = keys
            .iter()
            .map(unwrap)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|keys| rows.iter().map(|row| self.sealed(&keys, row)).collect::<Result<Vec<_>, _>>());
        let anew = match anew {
            Ok(anew) => anew,
            Err(broken) => return Ok(Err(broken)),
        };
        for (row, sealed) in rows.iter().zip(&anew) {
            // A row that changed meanwhile was written under the latest key, or comes with the next batch.
            secrets::reseal(tx, row, self.data_key, sealed).await?;
        }
        Ok(Ok(rows.len() as u64))
    }
}

impl Command for SealAnew {
    /// How many were sealed anew; 0 when none are left.
    type Reply = Result<u64, Broken>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reseal in batch {
            replies.push(reseal.apply_one(tx).await?);
        }
        Ok(replies)
    }
}

/// Deletes former data keys that seal nothing any more.
struct DeleteUnused {
    latest: i64,
}

impl Command for DeleteUnused {
    /// How many former keys are left, because they still seal something.
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for DeleteUnused { latest } in batch {
            replies.push(data_keys::delete_unused(tx, *latest).await?);
        }
        Ok(replies)
    }
}
