//! Which kinds there are, and how the plugin files fare.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;
use utoipa::ToSchema;

use super::Plugin;

/// The digest of what is native code.
const NATIVE: &str = "native";

/// Kinds by name, and a report for each file. Shared; readers never wait for a load.
#[derive(Default)]
pub struct Kinds {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    kinds: BTreeMap<String, Kind>,
    reports: BTreeMap<String, PluginReport>,
}

struct Kind {
    plugin: Arc<dyn Plugin>,
    file: String,
    /// The file is gone: another one may provide the kind.
    orphaned: bool,
}

/// How a plugin file fares.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub struct PluginReport {
    /// The file's name.
    pub file: String,
    /// Whether a version of it serves.
    pub state: PluginState,
    /// The kind that the serving version provides, or that a failed one would.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kind: Option<String>,
    /// The serving version's own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<String>,
    /// SHA-256 of the serving version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub digest: Option<String>,
    /// When the serving version was loaded, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub loaded_at_ms: Option<i64>,
    /// What is wrong with the file as it is now. With a serving version, that is an older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
}

/// Whether a plugin serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// A version of it answers calls.
    Serving,
    /// No version of it could be loaded.
    Failed,
}

impl Kinds {
    /// The plugin that provides `kind`.
    pub fn plugin(&self, kind: &str) -> Option<Arc<dyn Plugin>> {
        self.read(|inner| inner.kinds.get(kind).map(|kind| Arc::clone(&kind.plugin)))
    }

    /// The plugin that provides `kind`, and the file that it came from.
    pub fn provider(&self, kind: &str) -> Option<(Arc<dyn Plugin>, String)> {
        self.read(|inner| inner.kinds.get(kind).map(|kind| (Arc::clone(&kind.plugin), kind.file.clone())))
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> Vec<String> {
        self.read(|inner| inner.kinds.keys().cloned().collect())
    }

    /// Another file that provides `kind`, if one does.
    pub fn provided_elsewhere(&self, kind: &str, file: &str) -> Option<String> {
        self.read(|inner| {
            let elsewhere = inner.kinds.get(kind).filter(|kind| kind.file != file && !kind.orphaned);
            elsewhere.map(|kind| kind.file.clone())
        })
    }

    /// Puts a plugin into service; calls that run on an older version end there.
    pub fn serve(&self, file: &str, plugin: Arc<dyn Plugin>, now_ms: i64) {
        let manifest = plugin.manifest();
        let report = PluginReport {
            file: file.to_owned(),
            state: PluginState::Serving,
            kind: Some(manifest.kind.clone()),
            version: Some(manifest.version.clone()),
            digest: Some(plugin.digest().to_owned()),
            loaded_at_ms: Some(now_ms),
            error: None,
        };
        let kind = manifest.kind.clone();
        self.write(|inner| {
            inner.kinds.retain(|name, other| other.file != file || *name == kind);
            let former = inner.kinds.insert(kind, Kind { plugin, file: file.to_owned(), orphaned: false });
            if let Some(former) = former {
                inner.reports.remove(&former.file);
            }
            inner.reports.insert(file.to_owned(), report);
        });
    }

    /// Whether what serves `kind` came from this file and has this digest; then the file is well, whatever it was before.
    pub fn confirm(&self, kind: &str, file: &str, digest: &str) -> bool {
        self.write(|inner| {
            match inner.kinds.get_mut(kind).filter(|kind| kind.file == file && kind.plugin.digest() == digest) {
                Some(kind) => {
                    kind.orphaned = false;
                    if let Some(report) = inner.reports.get_mut(file) {
                        report.error = None;
                    }
                    true
                }
                None => false,
            }
        })
    }

    /// A file is gone and what it provides goes on serving, until another file provides it.
    pub fn orphan(&self, file: &str, error: String) {
        self.write(|inner| {
            inner.kinds.values_mut().filter(|kind| kind.file == file).for_each(|kind| kind.orphaned = true);
            if let Some(report) = inner.reports.get_mut(file) {
                report.error = Some(error);
            }
        });
    }

    /// Records what is wrong with a file, and the kind that it would provide, where it got so far. What serves goes on
    /// serving.
    pub fn report_failure(&self, file: &str, kind: Option<String>, error: String) {
        self.write(|inner| match inner.reports.get_mut(file) {
            Some(report) => {
                report.kind = report.kind.take().or(kind);
                report.error = Some(error);
            }
            None => {
                let report = PluginReport {
                    file: file.to_owned(),
                    state: PluginState::Failed,
                    kind,
                    version: None,
                    digest: None,
                    loaded_at_ms: None,
                    error: Some(error),
                };
                inner.reports.insert(file.to_owned(), report);
            }
        });
    }

    /// Forgets a file that is gone, and the kind that it provided.
    pub fn forget(&self, file: &str) {
        self.write(|inner| {
            inner.reports.remove(file);
            inner.kinds.retain(|_, kind| kind.file != file);
        });
    }

    /// The kind that a file provides: that of its serving version.
    pub fn kind_of(&self, file: &str) -> Option<String> {
        self.read(|inner| inner.kinds.iter().find(|(_, kind)| kind.file == file).map(|(name, _)| name.clone()))
    }

    /// A report for each file, in the order of their names. What is native code has none, and is no file.
    pub fn plugins(&self) -> Vec<PluginReport> {
        let is_file = |report: &&PluginReport| report.digest.as_deref() != Some(NATIVE);
        self.read(|inner| inner.reports.values().filter(is_file).cloned().collect())
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}
