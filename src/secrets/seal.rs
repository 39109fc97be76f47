//! Sealing: a data key seals secrets, the master key wraps data keys.
//!
//! XChaCha20-Poly1305 with a random nonce from the system. What belongs to a value is authenticated with it, so that a
//! row cannot be moved, renamed or set back to an earlier version unnoticed.
//!
//! ```text
//! wrapped data key:  id of the master key (8 bytes) ‖ nonce (24) ‖ key (32) ‖ tag (16)
//! sealed secret:     id of the data key (8 bytes, big-endian) ‖ nonce (24) ‖ value ‖ tag (16)
//! ```

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Secret;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a key's id in front of what it sealed.
const ID_BYTES: usize = 8;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// Bytes of an authentication tag.
const TAG_BYTES: usize = 16;

/// What a master key's id is the hash of, before the key: a hash for another purpose is another hash.
const ID_DOMAIN: &[u8] = b"kheish/master-key-id\0";
/// What is authenticated with a wrapped data key, before its id.
const WRAP_DOMAIN: &[u8] = b"kheish/data-keys";

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key sealed it.
    #[error("it was sealed with another key (id {expected} is needed, id {given} was given)")]
    OtherKey {
        /// The id that stands in front of it.
        expected: KeyId,
        /// The id of the key that was tried.
        given: KeyId,
    },
    /// It is too short to have been written whole.
    #[error("it is too short: bytes are missing at its end")]
    Truncated,
    /// A byte of it, or of what was authenticated with it, is not what was sealed.
    #[error("its bytes are not what was sealed: it was changed, or belongs to another row")]
    Tampered,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes to seal it with")]
    NotSealed,
}

/// Which key it was: no secret, and of no use for guessing the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bytes of a key. Clones share them; they are wiped when the last goes.
#[derive(Clone)]
struct Key(Arc<Zeroizing<[u8; KEY_BYTES]>>);

impl Key {
    fn random() -> Result<Self, SealError> {
        let mut key = Self(Arc::new(Zeroizing::new([0; KEY_BYTES])));
        let bytes = Arc::get_mut(&mut key.0).ok_or(SealError::NotSealed)?;
        SysRng.try_fill_bytes(&mut bytes[..]).map_err(|_| SealError::NotSealed)?;
        Ok(key)
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes).ok().map(Zeroizing::new)?;
        Some(Self(Arc::new(bytes)))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.0).into())
    }

    fn seal(&self, id: KeyId, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| SealError::NotSealed)?;
        let payload = Payload { msg: plain, aad: context };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::NotSealed)?;
        Ok([&id.0[..], &nonce, &sealed].concat())
    }

    fn open(&self, id: KeyId, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let expected = sealed_by(sealed)?;
        let (nonce, sealed) = sealed[ID_BYTES..].split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Truncated)?;
        if sealed.len() < TAG_BYTES {
            return Err(SealError::Truncated);
        }
        if expected != id {
            return Err(SealError::OtherKey { expected, given: id });
        }
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context });
        opened.map(Zeroizing::new).map_err(|_| SealError::Tampered)
    }
}

/// The id that stands in front of something sealed.
pub fn sealed_by(sealed: &[u8]) -> Result<KeyId, SealError> {
    sealed.first_chunk().copied().map(KeyId).ok_or(SealError::Truncated)
}

/// The key that wraps data keys. Its `Debug` form says which, not what.
#[derive(Clone)]
pub struct MasterKey {
    id: KeyId,
    key: Key,
}

impl MasterKey {
    /// A new key. Fails where the system gives no random bytes.
    pub fn random() -> Result<Self, SealError> {
        Key::random().map(Self::new)
    }

    /// Takes 32 bytes; nothing where it is another number.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Key::from_slice(bytes).map(Self::new)
    }

    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(&key.0[..]).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self { id: KeyId(id), key }
    }

    /// The first 8 bytes of a hash of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes, for the file that keeps them.
    pub fn expose(&self) -> &[u8] {
        &self.key.0[..]
    }

    /// Wraps a data key.
    pub fn wrap(&self, data_key: &DataKey) -> Result<Vec<u8>, SealError> {
        self.key.seal(self.id, &data_key.key.0[..], &wrap_context(data_key.id))
    }

    /// Unwraps the data key `id`. Fails with an own error where another master key wrapped it.
    pub fn unwrap(&self, id: i64, wrapped: &[u8]) -> Result<DataKey, SealError> {
        let bytes = self.key.open(self.id, wrapped, &wrap_context(id))?;
        let key = Key::from_slice(&bytes).ok_or(SealError::Tampered)?;
        Ok(DataKey { id, key })
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// A key that seals secrets. Its `Debug` form says which, not what.
#[derive(Clone)]
pub struct DataKey {
    id: i64,
    key: Key,
}

impl DataKey {
    /// A new key with this id. Fails where the system gives no random bytes.
    pub fn random(id: i64) -> Result<Self, SealError> {
        Ok(Self { id, key: Key::random()? })
    }

    /// The id of its row.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: &Place<'_>, secret: &Secret) -> Result<Vec<u8>, SealError> {
        self.key.seal(self.key_id(), secret.expose(), &place.context())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let mut opened = self.key.open(self.key_id(), sealed, &place.context())?;
        Ok(Secret::new(std::mem::take(&mut *opened)))
    }

    fn key_id(&self) -> KeyId {
        KeyId(self.id.to_be_bytes())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// Where a sealed value stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
    /// Which value of that row.
    pub version: i64,
}

impl Place<'_> {
    /// Each part with its length before it: no two places read alike.
    fn context(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let mut context = Vec::new();
        for part in [self.table.as_bytes(), self.row.as_bytes(), self.column.as_bytes(), &version] {
            context.extend_from_slice(&(part.len() as u64).to_be_bytes());
            context.extend_from_slice(part);
        }
        context
    }
}

fn wrap_context(id: i64) -> Vec<u8> {
    [WRAP_DOMAIN, &id.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests;
