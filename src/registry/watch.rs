//! The connectors file followed while the daemon runs: a change takes effect as a whole, or not at all.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Connectors,
    build::Assumed,
    definition::{Broken, Definition, Source},
    file,
    reconcile::Tried,
};
use crate::model::ids::ConnectorId;

/// How often the file is looked at. A look is one `stat`; notices of the system get lost on some file systems.
const LOOK: Duration = Duration::from_millis(500);

/// How the connectors file fares.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorsFile)]
pub struct FileReport {
    /// The file.
    pub path: String,
    /// When the version that serves was read, in milliseconds since 1970.
    pub loaded_at_ms: i64,
    /// What is wrong with the file as it is now; then an older version serves. A sentence for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// What tells one version of the file from another without reading it.
type Stamp = (std::time::SystemTime, u64, u64);

/// Follows the connectors file.
pub struct FileWatch {
    path: PathBuf,
    connectors: Arc<Connectors>,
    seen: Option<Stamp>,
}

impl FileWatch {
    /// Follows the file from the version on that is there now, which has been read.
    pub fn new(path: PathBuf, connectors: Arc<Connectors>) -> Self {
        let seen = stamp(&path);
        connectors.report_file(&path, Vec::new());
        Self { path, connectors, seen }
    }

    /// Looks at the file until `stop`.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut before = self.seen;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let now = stamp(&self.path);
            // It may still be being written: read when it has looked the same twice.
            if now != self.seen && now == before {
                self.seen = now;
                self.reload().await;
            }
            before = now;
        }
    }

    async fn reload(&self) {
        let read = file::load(&self.path).map_err(|problems| problems.iter().map(ToString::to_string).collect());
        let taken = match read {
            Ok(definitions) => self.connectors.follow(definitions).await,
            Err(problems) => Err(problems),
        };
        let errors = match taken {
            Ok(changed) => {
                tracing::info!(changed, "the connectors file was read again: {changed} connectors changed");
                Vec::new()
            }
            Err(problems) => {
                let all = problems.join("\n");
                tracing::error!(
                    "the connectors file was changed and cannot be used; what was read before serves:\n{all}"
                );
                problems
            }
        };
        self.connectors.report_file(&self.path, errors);
    }
}

fn stamp(path: &std::path::Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

impl Connectors {
    /// How the connectors file fares; none when there is none.
    pub fn file(&self) -> Option<Arc<FileReport>> {
        self.file_report.load_full()
    }

    fn report_file(&self, path: &std::path::Path, errors: Vec<String>) {
        let loaded_at_ms = match self.file() {
            Some(former) if !errors.is_empty() => former.loaded_at_ms,
            _ => self.clock.now_ms(),
        };
        let report = FileReport { path: path.display().to_string(), loaded_at_ms, errors };
        self.file_report.store(Some(Arc::new(report)));
    }

    /// Takes up a new version of the file, all of it or nothing; how many connectors are different, or a sentence for each
    /// thing to mend.
    async fn follow(&self, definitions: Vec<Definition>) -> Result<usize, Vec<String>> {
        let _turn = self.turn.lock().await;
        let mut problems = Vec::new();
        let mut changed = Vec::new();
        let mut moved = Vec::new();
        let mut wanted = BTreeMap::new();
        for mut definition in definitions {
            let current = self.get(&definition.id);
            match &current {
                Some(entry) if entry.definition.source == Source::Daemon => {
                    let broken = Broken::field("name", "the API made a connector of this kind and name: delete one");
                    problems.push(definition.problem(&broken));
                    continue;
                }
                Some(entry) => {
                    let same = entry.definition.fields == definition.fields && entry.last_error.is_none();
                    definition.revision = entry.definition.revision + i64::from(!same);
                    if same {
                        moved.push((Arc::new(definition), Arc::clone(entry)));
                        continue;
                    }
                }
                None => {}
            }
            let definition = Arc::new(definition);
            wanted.insert(definition.id.clone(), Arc::clone(&definition));
            changed.push(definition);
        }
        wanted.extend(moved.iter().map(|(definition, _)| (definition.id.clone(), Arc::clone(definition))));
        let mut missed = Vec::new();
        let gone = self.gone_from_file(&wanted, &mut missed);
        let tried = self.attempt(changed, None, &Assumed { gone: gone.clone(), ..Assumed::default() }).await;
        for Tried { definition, outcome } in &tried {
            if let Err(broken) = outcome {
                problems.extend(broken.iter().map(|broken| definition.problem(broken)));
            }
        }
        problems.append(&mut missed);
        if !problems.is_empty() {
            return Err(problems);
        }
        let changed = tried.len() + gone.len();
        self.take_away(&gone).await.map_err(|error| vec![error.to_string()])?;
        self.publish_moved(moved);
        self.publish_and_tell(tried, "file").await;
        Ok(changed)
    }

    /// Connectors that the file no longer has. Those that others send their answers to must stay.
    fn gone_from_file(
        &self,
        wanted: &BTreeMap<ConnectorId, Arc<Definition>>,
        problems: &mut Vec<String>,
    ) -> Vec<ConnectorId> {
        let former = self.all().into_iter().filter(|entry| entry.definition.source == Source::File);
        let gone: Vec<ConnectorId> =
            former.map(|entry| entry.definition.id.clone()).filter(|id| !wanted.contains_key(id)).collect();
        for id in &gone {
            for entry in self.all() {
                let referrer = &entry.definition.id;
                let now = wanted.get(referrer).unwrap_or(&entry.definition);
                if !gone.contains(referrer) && now.refers_to(id).is_some() {
                    problems.push(format!("`{id}` was taken out, but `{referrer}` sends its answers there"));
                }
            }
        }
        gone
    }
}
