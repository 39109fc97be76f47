//! Giving a lease to somebody else, who keeps it or lets it end.

use crate::store::{
    StoreError,
    heads::{self, Claimed},
    runs::{self, Fence},
    writer::{Command, Tx},
};

/// Makes somebody else the owner of a run's lease. The fence stays.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// Which run, under which epoch.
    pub fence: Fence,
    /// Who holds the lease from now on.
    pub owner: String,
    /// When it ends unless they renew it, in milliseconds since 1970.
    pub until_ms: i64,
}

impl Command for HandOver {
    /// Whether the lease was still held.
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for over in batch {
            let run = runs::find(tx, over.fence.run).await?.filter(|run| run.epoch == over.fence.epoch);
            replies.push(match run {
                Some(run) => {
                    let head = Claimed { id: run.session.as_str().to_owned(), epoch: over.fence.epoch };
                    heads::pass_on(tx, &head, &over.owner, over.until_ms).await?
                }
                None => false,
            });
        }
        Ok(replies)
    }
}
