//! The state folder: private, and used by one daemon at a time.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// Another process holds it.
    #[error(
        "state folder `{0}` is already used by another kheishd: stop that one, or give this one a --state-root of its own"
    )]
    InUse(PathBuf),
    /// It cannot be made or opened.
    #[error("state folder `{path}`: cannot {doing}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The folder, held until this is dropped. The lock is the system's: it ends with the process, however that ends.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder where it is missing, readable by its owner only, and takes hold of it.
    pub fn open(path: &Path) -> Result<Self, StateFolderError> {
        let failed = |doing| move |source| StateFolderError::Io { path: path.to_owned(), doing, source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create it"))?;
        let mode = fs::metadata(path).map_err(failed("look at it"))?.permissions().mode();
        if mode & 0o077 != 0 {
            let folder = path.display();
            tracing::warn!(
                "others can look into the state folder `{folder}`, which holds every message: chmod 700 `{folder}`"
            );
        }
        let lock = File::create(path.join("kheishd.lock")).map_err(failed("open its lock file"))?;
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(failed("protect its lock file"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateFolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock it")(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
