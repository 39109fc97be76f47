//! Files of new runs: those that they hold, and those on their platform that they wait for.

use super::{Accept, Entry, Fate};
use crate::{
    model::{
        ids::{RunId, SessionId},
        run::RunInput,
    },
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
        if let Fate::Fresh(place) = fate {
            files.extend(awaited(entry, 0, (entry.run, &place.session), &command.source));
        }
    }
    downloads::insert(tx, &files, command.now_ms).await
}

/// The files of an event that its run waits for. `before` parts of the run's input stand before the event's own.
pub(super) fn awaited<'a>(
    entry: &Entry,
    before: usize,
    (run, session): (RunId, &'a SessionId),
    connector: &'a str,
) -> Vec<NewDownload<'a>> {
    let parts = entry.request.input.iter().enumerate().filter(|_| entry.fetch);
    let remote = parts.filter(|(_, part)| matches!(part, RunInput::RemoteFile(_)));
    let place = |part: usize| i64::try_from(before + part).unwrap_or(i64::MAX);
    remote.map(|(part, _)| NewDownload { run, part: place(part), session, connector }).collect()
}
