//! The beginning: what the file and the store say, before any plugin is loaded, and what must be right before the daemon
//! listens.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Connectors,
    build::Assumed,
    definition::{Broken, Definition, Source},
    entry::Entry,
    reconcile::Tried,
};
use crate::store::{StoreError, connectors};

/// Why the registry cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Connectors of the file and of the store have the same kind and name; a sentence for each.
    #[error("{}", .0.join("\n"))]
    Twice(Vec<String>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Connectors {
    /// Takes up the connectors of the file and those of the store. None serves yet: plugins come next.
    pub async fn begin(&self, from_file: Vec<Definition>) -> Result<(), BeginError> {
        let _turn = self.turn.lock().await;
        let mut definitions = from_file;
        let named: BTreeSet<_> = definitions.iter().map(|definition| definition.id.clone()).collect();
        let mut twice = Vec::new();
        for stored in connectors::all(&self.store).await? {
            if named.contains(&stored.id) {
                let broken = Broken::field(
                    "name",
                    "the API made a connector of this kind and name: take this one out of the file, or delete that one \
                     while the daemon runs without this file",
                );
                let file = definitions.iter().find(|definition| definition.id == stored.id);
                twice.extend(file.map(|definition| definition.problem(&broken)));
                continue;
            }
            let fields: Map<String, Value> = serde_json::from_str(&stored.definition)
                .map_err(|_| StoreError::Damaged("the definition of a connector is not an object"))?;
            let (id, revision) = (stored.id, stored.revision);
            definitions.push(Definition { id, source: Source::Daemon, revision, fields, place: None });
        }
        if !twice.is_empty() {
            return Err(BeginError::Twice(twice));
        }
        let entries = definitions.into_iter().map(|definition| {
            let entry = Entry { definition: Arc::new(definition), running: None, last_error: None };
            (entry.definition.id.clone(), Arc::new(entry))
        });
        self.table.store(Arc::new(entries.collect()));
        Ok(())
    }

    /// Once plugins are loaded: tries what waits for a kind that nobody provides, so that each connector has a state and a
    /// reason. The daemon does not start half configured: problems of the file are the answer, each a sentence. Those of the
    /// store can be mended through the API.
    pub async fn judge_start(&self) -> Vec<String> {
        let _turn = self.turn.lock().await;
        let all = self.all();
        let waiting = all.iter().filter(|entry| entry.running.is_none()).map(|entry| Arc::clone(&entry.definition));
        let tried = self.attempt(waiting.collect(), None, &Assumed::default()).await;
        let mut problems = Vec::new();
        for Tried { definition, outcome } in &tried {
            if let (Err(broken), Source::File) = (outcome, definition.source) {
                problems.extend(broken.iter().map(|broken| definition.problem(broken)));
            }
        }
        self.publish_and_tell(tried, "start").await;
        problems
    }
}
