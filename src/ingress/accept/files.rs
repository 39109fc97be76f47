//! Files of new runs: those that they hold, and those on their platform that they wait for.

use super::{Accept, Entry, Fate};
use crate::{
    model::run::RunInput,
    store::{
        StoreError,
        downloads::{self, NewDownload},
        writer::Tx,
    },
};

impl Entry {
    /// Files that it refers to and did not bring along.
    pub(super) fn referenced_assets(&self) -> impl Iterator<Item = &str> {
        self.asset_ids().filter(|id| !self.assets.iter().any(|asset| asset.id == *id))
    }

    /// Every file of its input.
    pub(super) fn asset_ids(&self) -> impl Iterator<Item = &str> {
        self.request.input.iter().filter_map(|part| match part {
            RunInput::Asset { asset_id, .. } => Some(asset_id.as_str()),
            _ => None,
        })
    }
}

/// Notes the files that new runs wait for.
pub(super) async fn insert(command: &Accept, fates: &[Fate], tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let mut files = Vec::new();
    for (entry, fate) in command.entries.iter().zip(fates) {
        let Fate::Fresh { session, .. } = fate else { continue };
        let parts = entry.request.input.iter().enumerate().filter(|_| entry.fetch);
        let remote = parts.filter(|(_, part)| matches!(part, RunInput::RemoteFile(_)));
        files.extend(remote.map(|(part, _)| NewDownload {
            run: entry.run,
            part: i64::try_from(part).unwrap_or(i64::MAX),
            session,
            connector: &command.source,
        }));
    }
    downloads::insert(tx, &files, command.now_ms).await
}
