//! Transaction 2, claim: sessions are leased, then the oldest run of each.

use super::waits::{self, Found};
use crate::{
    model::{
        happening::{RunChange, run_updated},
        run::Run,
    },
    store::{
        Store, StoreError,
        heads::{self, Lease, Line},
        writer::{Command, Tx},
    },
};

/// Asks for work.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who will hold the leases.
    pub owner: String,
    /// Only runs of sessions with these executors; an empty name is the default.
    pub executors: Vec<String>,
    /// The most runs to take.
    pub limit: i64,
    /// How long the leases last, in milliseconds.
    pub lease_ms: i64,
    /// Now.
    pub now_ms: i64,
}

/// A run that is leased to whoever asked.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    /// The run, as it is now.
    pub run: Run,
    /// When the lease ends.
    pub lease_until_ms: i64,
}

impl Command for Claim {
    type Reply = Vec<ClaimedRun>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for claim in batch {
            replies.push(claim_runs(claim, tx).await?);
        }
        Ok(replies)
    }
}

/// Notes how long a run waited that was claimed for the first time.
pub fn count_start(store: &Store, run: &Run) {
    if let (1, Some(started_ms)) = (run.attempt, run.started_ms) {
        store.metrics().observe_start(started_ms - run.submitted_ms);
    }
}

async fn claim_runs(claim: &Claim, tx: &mut Tx<'_>) -> Result<Vec<ClaimedRun>, StoreError> {
    let until_ms = claim.now_ms + claim.lease_ms;
    let lease = Lease { owner: &claim.owner, now_ms: claim.now_ms, until_ms };
    let mut claimed = Vec::new();
    // Sessions whose oldest run waits are nobody's work: others come in their place.
    while claim_some(claim, lease, &mut claimed, tx).await? {}
    Ok(claimed)
}

/// Leases as many sessions as are still wanted. True when some of them have to wait, so that others may be had.
async fn claim_some(
    claim: &Claim,
    lease: Lease<'_>,
    claimed: &mut Vec<ClaimedRun>,
    tx: &mut Tx<'_>,
) -> Result<bool, StoreError> {
    let mut waiting = false;
    let wanted = claim.limit - i64::try_from(claimed.len()).unwrap_or(i64::MAX);
    for head in heads::claim(tx, &claim.executors, wanted, lease).await? {
        match waits::take(tx, &head, claim.now_ms).await? {
            Found::Run(run) => {
                tx.record(run_updated(&run, RunChange::Started));
                claimed.push(ClaimedRun { run: *run, lease_until_ms: lease.until_ms });
            }
            Found::Waits(until_ms) => {
                waiting = true;
                heads::put_back(tx, Line::Sessions, &head, until_ms, claim.now_ms).await?;
            }
            Found::Nothing => {
                // The counter said that a run waits and none does: a bug, but no reason to hold the session.
                tracing::error!(session = head.id, "session {} was ready without a queued run; released", head.id);
                heads::release(tx, Line::Sessions, &head, claim.now_ms).await?;
            }
        }
    }
    Ok(waiting)
}
