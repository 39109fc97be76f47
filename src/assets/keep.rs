//! Keeping a file that has been taken in: its name, then its row.

use super::{Assets, Received};
use crate::{
    clock::Clock,
    store::{
        Store, StoreError,
        assets::{self, Asset},
        writer::{Command, Tx},
    },
};

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is no room.
    #[error("there is no room for it: all files together may have {0} bytes (assets.total_bytes)")]
    Full(u64),
    /// The disk refused.
    #[error("the folder of files failed: {0}")]
    Disk(#[from] std::io::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Assets {
    /// Keeps a file. To be run to its end. The same bytes are kept once, under the name and type that they first had.
    pub async fn keep(
        &self,
        (store, clock): (&Store, &Clock),
        received: Received,
        name: Option<String>,
        media_type: String,
    ) -> Result<(), KeepError> {
        let size = i64::try_from(received.size).unwrap_or(i64::MAX);
        let asset =
            Asset { id: received.id.clone(), name, media_type, size, created_ms: clock.now_ms(), in_folder: true };
        let total = self.settings.total_bytes;
        let id = received.id.clone();
        let _turn = self.turn.lock().await;
        self.publish(received).await?;
        // A file whose row fails is without one: the sweep removes it.
        let kept = store.write(Keep { asset, total: i64::try_from(total).unwrap_or(i64::MAX) }).await?;
        if kept {
            Ok(())
        } else {
            Err(self.remove(vec![id]).await.map_or_else(KeepError::Disk, |()| KeepError::Full(total)))
        }
    }
}

/// Makes the row; false where all files together would be too large.
struct Keep {
    asset: Asset,
    total: i64,
}

impl Command for Keep {
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for keep in batch {
            let is_known = assets::renew(tx, &keep.asset.id, keep.asset.created_ms).await?;
            let fits = is_known || assets::total(tx).await?.saturating_add(keep.asset.size) <= keep.total;
            if fits && !is_known {
                assets::insert_in_folder(tx, &keep.asset).await?;
            }
            replies.push(fits);
        }
        Ok(replies)
    }
}
