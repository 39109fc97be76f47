//! Removes files that no run holds, and files without a row.

use std::{io, sync::Arc, time::Duration};

use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;

use super::{Assets, PARTIAL};
use crate::{
    clock::Clock,
    store::{
        Store, StoreError, assets,
        writer::{Command, Tx},
    },
};

/// Rows that go in one transaction.
const BATCH: i64 = 64;

/// Sweeps at start and then regularly, until `stop`.
pub async fn run(assets: Arc<Assets>, store: Store, clock: Clock, stop: CancellationToken) -> Result<(), StoreError> {
    let mut ticks = tokio::time::interval(Duration::from_millis(assets.settings.sweep_interval_ms.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        let age = i64::try_from(assets.settings.orphan_age_ms).unwrap_or(i64::MAX);
        while assets.forget(&store, clock.now_ms().saturating_sub(age)).await? == BATCH && !stop.is_cancelled() {}
        if let Err(error) = assets.remove_strays(&store).await? {
            tracing::warn!(%error, "files without a row could not be removed: {error}");
        }
    }
}

impl Assets {
    /// Forgets one batch of rows, then removes their files; says how many it found.
    async fn forget(&self, store: &Store, before_ms: i64) -> Result<i64, StoreError> {
        let ids = assets::orphans(store, before_ms, BATCH).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let _turn = self.turn.lock().await;
        let ids = store.write(Forget { ids, before_ms }).await?;
        if let Err(error) = self.remove(ids).await {
            tracing::warn!(%error, "files that nothing refers to could not be removed: {error}");
        }
        Ok(count)
    }

    /// Removes files without a row, a folder at a time.
    async fn remove_strays(&self, store: &Store) -> Result<io::Result<()>, StoreError> {
        let folders = match self.names(".".to_owned()).await {
            Ok(names) => names,
            Err(error) => return Ok(Err(error)),
        };
        for folder in folders.into_iter().filter(|name| name.len() == 2 && !name.starts_with(PARTIAL)) {
            let _turn = self.turn.lock().await;
            let ids: Vec<String> = match self.names(folder.clone()).await {
                Ok(names) => names.into_iter().map(|name| format!("{folder}{name}")).collect(),
                Err(error) => return Ok(Err(error)),
            };
            let known = assets::in_folder(store, &ids).await?;
            let strays = ids.into_iter().filter(|id| !known.contains(id)).collect();
            if let Err(error) = self.remove(strays).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn names(&self, folder: String) -> io::Result<Vec<String>> {
        let list = move |root: &Arc<Dir>| {
            root.read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        self.on_disk(list).await
    }
}

/// Forgets rows.
struct Forget {
    ids: Vec<String>,
    before_ms: i64,
}

impl Command for Forget {
    type Reply = Vec<String>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Vec<String>>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for forget in batch {
            replies.push(assets::forget_orphans(tx, &forget.ids, forget.before_ms).await?);
        }
        Ok(replies)
    }
}
