//! Compiled code on disk: loading it runs it as native code, so the folder is private and every entry is checked.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

/// Raised when what an entry holds changes its meaning.
const FORMAT: &[u8] = b"kheish compiled code 1";

/// Entries kept; the oldest go first. An upgrade of the engine leaves its predecessor's entries behind.
const ENTRIES: usize = 64;

/// The folder.
pub(super) struct CompiledCode {
    folder: PathBuf,
    /// Everything beside the component that compiled code depends on: the engine's version, settings and target.
    environment: [u8; 32],
}

impl CompiledCode {
    /// Makes the folder where it is missing; refuses one that others could write to.
    pub(super) fn open(folder: PathBuf, engine: &Engine) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("creating the folder for compiled code `{}`", folder.display()))?;
        let metadata = fs::metadata(&folder)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if metadata.permissions().mode() & 0o022 != 0 || !own {
            bail!(
                "others can write to `{}`, and what is in it is run as native code: make it the daemon's own, mode 0700",
                folder.display()
            );
        }
        let mut hash = Fingerprint(Sha256::new_with_prefix(FORMAT));
        engine.precompile_compatibility_hash().hash(&mut hash);
        Ok(Self { folder, environment: hash.0.finalize().into() })
    }

    /// The component's code from an earlier start, or freshly compiled and kept.
    pub(super) fn load_or_compile(&self, engine: &Engine, component: &[u8]) -> wasmtime::Result<Component> {
        let key = self.key(component);
        match self.load(engine, &key) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, key, "compiled code in the cache is unusable and is made anew: {error:#}");
            }
        }
        let compiled = Component::from_binary(engine, component)?;
        if let Err(error) = compiled.serialize().map_err(anyhow::Error::from).and_then(|code| self.keep(&key, &code)) {
            tracing::warn!(%error, "compiled code could not be kept; the next start compiles again: {error:#}");
        }
        Ok(compiled)
    }

    fn key(&self, component: &[u8]) -> String {
        hex::encode(Sha256::new_with_prefix(self.environment).chain_update(component).finalize())
    }

    fn paths(&self, key: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{key}.cwasm")), self.folder.join(format!("{key}.sha256")))
    }

    fn load(&self, engine: &Engine, key: &str) -> anyhow::Result<Option<Component>> {
        let (code, checksum) = self.paths(key);
        let written = match fs::read(&checksum) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if Sha256::digest(fs::read(&code)?).as_slice() != written {
            bail!("`{}` is not what was written", code.display());
        }
        #[expect(
            unsafe_code,
            reason = "the file is in a folder that only this user can write to, its bytes were just checked, and its name says that this very engine wrote it"
        )]
        let component = unsafe { Component::deserialize_file(engine, &code) }?;
        Ok(Some(component))
    }

    fn keep(&self, key: &str, code: &[u8]) -> anyhow::Result<()> {
        let (path, checksum) = self.paths(key);
        // The checksum comes last: an entry without one does not exist.
        write_durably(&path, code)?;
        write_durably(&checksum, &Sha256::digest(code))?;
        self.prune()?;
        Ok(())
    }

    fn prune(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort_unstable_by(|one, other| other.cmp(one));
        for (_, path) in entries.iter().skip(ENTRIES) {
            fs::remove_file(path.with_extension("sha256")).ok();
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Appears under its name whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// Feeds a standard hash into SHA-256; the standard hasher promises no stable answer from one start to the next.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
