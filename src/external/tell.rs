//! What streams are told of sidecars.

use super::External;
use crate::{
    model::happening::Happening,
    store::{
        StoreError,
        writer::{Command, Tx},
    },
};

/// Tells of one thing.
struct Tell(Happening);

impl Command for Tell {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        batch.iter().for_each(|Self(happening)| tx.record(happening.clone()));
        Ok(vec![(); batch.len()])
    }
}

impl External {
    /// Tells streams of one thing.
    pub(super) async fn tell(&self, happening: Happening) {
        if let Err(error) = self.store.write(Tell(happening)).await {
            tracing::warn!(%error, "how a sidecar fares could not be told to event streams: {error}");
        }
    }
}
