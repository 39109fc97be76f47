//! What an attempt consumed, noted while it goes on: it is spent whether the attempt ends well or not.

use crate::{
    model::{run::RunStatus, usage::Usage},
    store::{
        StoreError,
        runs::{self, Fence},
        writer::{Command, Tx},
    },
};

/// Adds to what the attempts at a run consumed, under this fence.
#[derive(Clone, Debug)]
pub struct Spend {
    /// Which run, under which epoch.
    pub fence: Fence,
    /// How much more.
    pub usage: Usage,
}

impl Command for Spend {
    /// False when the lease was lost; nothing was noted.
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for spend in batch {
            let run = runs::find(tx, spend.fence.run).await?;
            let held = run.filter(|run| run.status == RunStatus::Running && run.epoch == spend.fence.epoch);
            if let Some(run) = &held {
                let usage = run.usage.clone().unwrap_or_default().plus(&spend.usage);
                runs::set_usage(tx, spend.fence, &usage).await?;
            }
            replies.push(held.is_some());
        }
        Ok(replies)
    }
}
