//! The plugin folder: a `.wasm` that appears becomes a kind, a changed one replaces its older version, and a broken one
//! is reported and changes nothing.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cap_std::{
    ambient_authority,
    fs::{Dir, MetadataExt, PermissionsExt},
};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Plugin, kinds::Kinds, wasm::WasmEngine};

/// A file is read when it has looked the same for this long: it may still be being written.
const SETTLE: Duration = Duration::from_millis(300);

/// The folder is looked at this often even when nobody says that it changed: notices get lost on some file systems.
const RESCAN: Duration = Duration::from_secs(30);

/// Decides whether a loaded plugin goes into service.
#[async_trait]
pub trait Adopter: Send + Sync {
    /// Moves the kind's connectors onto the plugin of this file, and puts it into service. An error says why they stay where
    /// they are.
    async fn adopt(&self, file: &str, plugin: &Arc<dyn Plugin>) -> Result<(), String>;

    /// Whether connectors of this kind are configured.
    fn uses(&self, kind: &str) -> bool;
}

/// Loads plugins from a folder.
pub struct PluginFolder {
    path: PathBuf,
    engine: Arc<WasmEngine>,
    kinds: Arc<Kinds>,
    adopter: Arc<dyn Adopter>,
    seen: BTreeMap<String, Seen>,
}

/// What tells one content of a file from another without reading it.
type Stamp = (u64, u64, i64, i64, u32);

/// Why a file's plugin does not serve, and the kind that it would provide.
struct Failure {
    kind: Option<String>,
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Looked so at the last scan; loaded when it still does at the next.
    Settling(Stamp),
    /// Loaded, or found broken, in this state.
    Done(Stamp),
}

impl PluginFolder {
    /// A folder that nobody has looked at yet.
    pub fn new(path: PathBuf, engine: Arc<WasmEngine>, kinds: Arc<Kinds>, adopter: Arc<dyn Adopter>) -> Self {
        Self { path, engine, kinds, adopter, seen: BTreeMap::new() }
    }

    /// Loads everything that is there now.
    pub async fn load_all(&mut self) -> io::Result<()> {
        let found = list(&self.path)?;
        let compiled = futures_util::future::join_all(found.keys().map(|file| self.compile(file))).await;
        // One after the other, in the order of their names: of two files with one kind the first has it.
        for (file, plugin) in found.keys().zip(compiled) {
            self.take_up(file, plugin).await;
        }
        self.seen = found.into_iter().map(|(file, stamp)| (file, Seen::Done(stamp))).collect();
        Ok(())
    }

    /// Follows the folder until `stop`.
    pub async fn watch(mut self, stop: CancellationToken) {
        let (changed, mut changes) = mpsc::channel(1);
        // A hint only: when the queue is full a look is due anyway.
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // To look at the folder is an event too: only what is not a mere look may cause the next one.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                changed.try_send(()).unwrap_or_default();
            }
        });
        let watching =
            watcher.and_then(|mut watcher| watcher.watch(&self.path, RecursiveMode::NonRecursive).map(|()| watcher));
        if let Err(error) = &watching {
            tracing::warn!(%error, "the plugin folder cannot be watched and is looked at every {} s: {error}", RESCAN.as_secs());
        }
        let mut settling = false;
        loop {
            let pause = if settling { SETTLE } else { RESCAN };
            tokio::select! {
                Some(()) = changes.recv() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            settling = match self.scan().await {
                Ok(settling) => settling,
                Err(error) => {
                    tracing::warn!(%error, "the plugin folder `{}` cannot be read: {error}", self.path.display());
                    false
                }
            };
            if settling {
                // Writers cause a notice for each write: one look after a pause is enough.
                tokio::time::sleep(SETTLE).await;
            }
        }
    }

    /// Looks once; true when a file has changed and is not yet read.
    async fn scan(&mut self) -> io::Result<bool> {
        let found = list(&self.path)?;
        let gone: Vec<String> = self.seen.keys().filter(|file| !found.contains_key(*file)).cloned().collect();
        for file in gone {
            self.seen.remove(&file);
            self.lose(&file);
        }
        let mut settling = false;
        for (file, stamp) in found {
            let next = match self.seen.get(&file) {
                Some(Seen::Done(done)) if *done == stamp => Seen::Done(stamp),
                Some(Seen::Settling(before)) if *before == stamp => {
                    self.load(&file).await;
                    Seen::Done(stamp)
                }
                _ => {
                    settling = true;
                    Seen::Settling(stamp)
                }
            };
            self.seen.insert(file, next);
        }
        Ok(settling)
    }

    /// A file is gone. What connectors use goes on serving; the rest is forgotten.
    fn lose(&self, file: &str) {
        match self.kinds.kind_of(file) {
            Some(kind) if self.adopter.uses(&kind) => {
                tracing::warn!(file, kind, "plugin file `{file}` is gone; its loaded version goes on serving");
                self.kinds.orphan(
                    file,
                    "the file is gone; its loaded version serves until another file provides the kind".to_owned(),
                );
            }
            _ => {
                tracing::info!(file, "plugin file `{file}` is gone");
                self.kinds.forget(file);
            }
        }
    }

    async fn load(&self, file: &str) {
        let plugin = self.compile(file).await;
        self.take_up(file, plugin).await;
    }

    async fn compile(&self, file: &str) -> Result<Arc<dyn Plugin>, Failure> {
        let bytes = read(&self.path, file, self.engine.plugin_bytes());
        let bytes = bytes.map_err(|error| Failure { kind: None, reason: format!("it cannot be read: {error}") })?;
        match self.engine.load(bytes).await {
            Ok(plugin) => Ok(plugin),
            Err(error) => Err(Failure { kind: None, reason: error.to_string() }),
        }
    }

    /// Puts a plugin into service, or reports what is wrong.
    async fn take_up(&self, file: &str, plugin: Result<Arc<dyn Plugin>, Failure>) {
        let taken = match plugin {
            Ok(plugin) => self.try_take_up(file, &plugin).await,
            Err(failure) => Err(failure),
        };
        if let Err(Failure { kind, reason }) = taken {
            tracing::error!(file, reason, "plugin `{file}` was not loaded: {reason}");
            self.kinds.report_failure(file, kind, reason);
        }
    }

    async fn try_take_up(&self, file: &str, plugin: &Arc<dyn Plugin>) -> Result<(), Failure> {
        let (kind, digest) = (plugin.manifest().kind.clone(), plugin.digest());
        let failed = |reason| Failure { kind: Some(kind.clone()), reason };
        if let Some(other) = self.kinds.provided_elsewhere(&kind, file) {
            return Err(failed(format!("kind `{kind}` is already provided by `{other}`: keep one of the two")));
        }
        if self.kinds.confirm(&kind, file, digest) {
            return Ok(());
        }
        self.adopter.adopt(file, plugin).await.map_err(failed)?;
        tracing::info!(file, kind, digest, "plugin `{file}` serves kind `{kind}`");
        Ok(())
    }
}

/// The plugin files in a folder. A link counts when it leads to a file in the folder.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    let mut found = BTreeMap::new();
    for entry in folder.entries()? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.starts_with('.') || !name.ends_with(".wasm") {
            continue;
        }
        let Ok(metadata) = folder.metadata(&name) else { continue };
        if metadata.is_file() {
            let mode = metadata.permissions().mode();
            found.insert(name, (metadata.len(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), mode));
        }
    }
    Ok(found)
}

/// Reads a file once; one byte more than the limit is enough to see that it is too large.
fn read(folder: &Path, file: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = Dir::open_ambient_dir(folder, ambient_authority())?.open(file)?;
    if file.metadata()?.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other("everybody on this machine can write to it: take that away (chmod o-w)"));
    }
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
