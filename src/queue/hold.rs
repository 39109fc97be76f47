//! Keeping a lease while the work goes on.

use crate::{
    model::run::Run,
    store::{
        StoreError,
        heads::{self, Claimed, Line},
        runs::{self, Fence},
        writer::{Command, Tx},
    },
};

/// Moves the end of a run's lease.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Which run, under which epoch.
    pub fence: Fence,
    /// When the lease shall end, in milliseconds since 1970.
    pub until_ms: i64,
}

/// Whether the lease was still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is, until then.
    Until(i64),
    /// It is, until then, but somebody asked for the end of the run.
    Cancelled(i64),
    /// It was lost: the run has ended, or belongs to somebody else.
    Lost,
}

impl Command for Heartbeat {
    type Reply = Held;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Held>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for beat in batch {
            let Some(run) = active(tx, beat.fence).await? else {
                replies.push(Held::Lost);
                continue;
            };
            let head = Claimed { id: run.session.as_str().to_owned(), epoch: beat.fence.epoch };
            let held = heads::renew(tx, Line::Sessions, &head, beat.until_ms).await?;
            replies.push(match (held, run.cancel_ms) {
                (false, _) => Held::Lost,
                (true, None) => Held::Until(beat.until_ms),
                (true, Some(_)) => Held::Cancelled(beat.until_ms),
            });
        }
        Ok(replies)
    }
}

/// The run that was claimed under this fence.
async fn active(tx: &mut Tx<'_>, fence: Fence) -> Result<Option<Run>, StoreError> {
    Ok(runs::find(tx, fence.run).await?.filter(|run| run.epoch == fence.epoch))
}
