//! Keeping a lease while the work goes on.

use crate::{
    model::ids::SessionId,
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
    /// It was lost: the run has ended, or belongs to somebody else.
    Lost,
}

impl Command for Heartbeat {
    type Reply = Held;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Held>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for beat in batch {
            let Some(session) = session_of(tx, beat.fence).await? else {
                replies.push(Held::Lost);
                continue;
            };
            let head = Claimed { id: session.as_str().to_owned(), epoch: beat.fence.epoch };
            let held = heads::renew(tx, Line::Sessions, &head, beat.until_ms).await?;
            replies.push(if held { Held::Until(beat.until_ms) } else { Held::Lost });
        }
        Ok(replies)
    }
}

/// The session of a run that is active under this fence.
async fn session_of(tx: &mut Tx<'_>, fence: Fence) -> Result<Option<SessionId>, StoreError> {
    let run = runs::find(tx, fence.run).await?;
    Ok(run.filter(|run| run.epoch == fence.epoch).map(|run| run.session))
}
