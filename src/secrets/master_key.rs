//! Where the master key comes from: a variable, a file that a variable names, or a file in the state folder.
//!
//! A new key for the state folder is written beside the old one, as [`NEXT_FILE`], before anything depends on it, and
//! takes the old one's place once the store does. Which of the two is right is told by the id of the master key that
//! stands in front of every wrapped data key, so that a crash at any point leads back.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use zeroize::Zeroizing;

use super::seal::{KEY_BYTES, KeyId, MasterKey, SealError};

/// The variable that holds the key, as base64.
pub const VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY";
/// The variable that names a file with the key.
pub const FILE_VARIABLE: &str = "KHEISH_AUTH_STORE_MASTER_KEY_FILE";
/// The key's file in the state folder.
pub const FILE: &str = "master.key";
/// The key that is about to take the place of the one in [`FILE`].
pub const NEXT_FILE: &str = "master.key.next";

/// More bytes than a file with a key has: whatever has more is something else.
const MOST_BYTES: u64 = 1024;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Both variables are set.
    #[error("{VARIABLE} and {FILE_VARIABLE} are both set: unset the one that does not hold")]
    Both,
    /// It is not a key.
    #[error(
        "the master key in {place} is neither base64 of 32 bytes nor, in a file, 32 bytes as they are: \
         put the right one there, or make one with `openssl rand -base64 32` where nothing was sealed yet"
    )]
    NotAKey {
        /// The variable, or the file.
        place: String,
    },
    /// Others can read the file.
    #[error("others can read the master key in `{path}` (mode {mode:03o}): chmod 600 `{path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The store holds sealed secrets and the key is gone.
    #[error(
        "the store holds sealed secrets, and `{path}` with master key {expected} is missing: put it back from its copy, \
         or name where it is with {FILE_VARIABLE}; without it the secrets cannot be read by anybody"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// The id of the key that is needed.
        expected: KeyId,
    },
    /// The store's secrets were sealed under another key.
    #[error(
        "the store's secrets are sealed under master key {expected}, and the one in {place} is {found}: put the right \
         one there, or the store that belongs to this one"
    )]
    Other {
        /// The variable, or the file.
        place: String,
        /// The id of the key that was found.
        found: KeyId,
        /// The id of the key that is needed.
        expected: KeyId,
    },
    /// A file cannot be read or written.
    #[error("master key file `{path}`: cannot {doing}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A new key could not be made.
    #[error("a master key could not be made: {0}")]
    NotMade(SealError),
}

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// Somebody else keeps it.
    Given {
        /// The key.
        key: MasterKey,
        /// The variable or file it came from, for messages.
        place: String,
    },
    /// It lies in the state folder and is made there at the first start.
    StateFolder,
}

impl MasterKeySource {
    /// What [`VARIABLE`] and [`FILE_VARIABLE`] say.
    pub fn from_env() -> Result<Self, MasterKeyError> {
        Self::from_values(std::env::var_os(VARIABLE), std::env::var_os(FILE_VARIABLE))
    }

    /// What these values of the two variables say.
    pub fn from_values(key: Option<OsString>, file: Option<OsString>) -> Result<Self, MasterKeyError> {
        match (key, file) {
            (Some(_), Some(_)) => Err(MasterKeyError::Both),
            (Some(text), None) => {
                let text = Zeroizing::new(text.into_encoded_bytes());
                let place = VARIABLE.to_owned();
                let key = from_text(&text).ok_or_else(|| MasterKeyError::NotAKey { place: place.clone() })?;
                Ok(Self::Given { key, place })
            }
            (None, Some(path)) => {
                let path = PathBuf::from(path);
                Ok(Self::Given { key: read(&path)?, place: format!("`{}`", path.display()) })
            }
            (None, None) => Ok(Self::StateFolder),
        }
    }

    /// The key under which the store's data keys are wrapped; any key where there are none yet (`sealed_under` is
    /// `None`), made and written where the state folder has none. Ends a replacement of the key that was interrupted.
    pub fn load(&self, folder: &Path, sealed_under: Option<KeyId>) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::Given { key, place } => expect(key.clone(), place.clone(), sealed_under),
            Self::StateFolder => load_from_folder(folder, sealed_under),
        }
    }
}

fn load_from_folder(folder: &Path, sealed_under: Option<KeyId>) -> Result<MasterKey, MasterKeyError> {
    let (path, next) = (folder.join(FILE), folder.join(NEXT_FILE));
    if exists(&path)? {
        let key = read(&path)?;
        if sealed_under.is_none_or(|expected| expected == key.id()) {
            discard(&next)?;
            return Ok(key);
        }
    }
    if let Some(expected) = sealed_under {
        // A replacement that ended after the store's commit: the new key is the one that counts.
        if exists(&next)?
            && let Ok(key) = read(&next)
            && key.id() == expected
        {
            promote(folder)?;
            return Ok(key);
        }
        if !exists(&path)? {
            return Err(MasterKeyError::Missing { path, expected });
        }
        return expect(read(&path)?, format!("`{}`", path.display()), sealed_under);
    }
    let key = MasterKey::random().map_err(MasterKeyError::NotMade)?;
    write_next(folder, &key)?;
    promote(folder)?;
    tracing::info!(
        "the master key {} that seals secrets is now in `{}`: keep a copy of it, apart from the backups of the store",
        key.id(),
        path.display()
    );
    Ok(key)
}

fn expect(key: MasterKey, place: String, sealed_under: Option<KeyId>) -> Result<MasterKey, MasterKeyError> {
    match sealed_under {
        Some(expected) if expected != key.id() => Err(MasterKeyError::Other { place, found: key.id(), expected }),
        _ => Ok(key),
    }
}

/// Writes a key beside the one in use. What is left there of a replacement that was given up goes: call
/// [`MasterKeySource::load`] before, which keeps it where the store depends on it.
pub fn write_next(folder: &Path, key: &MasterKey) -> Result<(), MasterKeyError> {
    let path = folder.join(NEXT_FILE);
    discard(&path)?;
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&path).map_err(io_error(&path, "create it"))?;
    let text = Zeroizing::new(BASE64_STANDARD.encode(key.expose()) + "\n");
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error(&path, "write it"))?;
    sync_folder(folder)
}

/// Puts the key that [`write_next`] wrote in the place of the one in use.
pub fn promote(folder: &Path) -> Result<(), MasterKeyError> {
    let (path, next) = (folder.join(FILE), folder.join(NEXT_FILE));
    fs::rename(&next, &path).map_err(io_error(&next, "put it in the place of `master.key`"))?;
    sync_folder(folder)
}

/// Whether the key's file is in the state folder itself. Where a link stands there, somebody else keeps the key.
pub fn is_own(folder: &Path) -> Result<bool, MasterKeyError> {
    let path = folder.join(FILE);
    Ok(fs::symlink_metadata(&path).map_err(io_error(&path, "look at it"))?.is_file())
}

fn discard(path: &Path) -> Result<(), MasterKeyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "remove it")(error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), MasterKeyError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "make it durable"))
}

/// Whether something has this name, be it a link that leads nowhere: then no key is made in its place.
fn exists(path: &Path) -> Result<bool, MasterKeyError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(path, "look at it")(error)),
    }
}

/// Reads a key's file. Where it is a link, the permissions of what it leads to count.
fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let file = File::open(path).map_err(io_error(path, "open it"))?;
    let mode = file.metadata().map_err(io_error(path, "look at it"))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
    }
    // As much as it can take from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST_BYTES).unwrap_or_default() + 1));
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(io_error(path, "read it"))?;
    let key = if bytes.len() == KEY_BYTES { MasterKey::from_slice(&bytes) } else { from_text(&bytes) };
    key.ok_or_else(|| MasterKeyError::NotAKey { place: format!("`{}`", path.display()) })
}

/// Base64 of 32 bytes, with or without padding, in white space.
fn from_text(text: &[u8]) -> Option<MasterKey> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    let bytes = engine.decode(text.trim_ascii()).ok().map(Zeroizing::new)?;
    MasterKey::from_slice(&bytes)
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> MasterKeyError {
    let path = path.to_owned();
    move |source| MasterKeyError::Io { path, doing, source }
}

#[cfg(test)]
mod tests;
