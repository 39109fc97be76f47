//! Leasing lanes: the oldest pending delivery of each is recorded as being sent before a byte leaves.

use crate::{
    model::{
        delivery::{Delivery, DeliveryStatus},
        happening::delivery_updated,
    },
    store::{
        StoreError, deliveries,
        heads::{self, Former, Lease, Line},
        writer::{Command, Tx},
    },
};

/// Lanes that one [`Reclaim`] gives back at most.
pub const RECLAIM_LIMIT: usize = 256;

/// Asks for deliveries to send.
#[derive(Clone, Debug)]
pub struct Take {
    /// Who will hold the leases.
    pub owner: String,
    /// The most lanes to lease.
    pub limit: i64,
    /// How long the leases last, in milliseconds.
    pub lease_ms: i64,
    /// Now.
    pub now_ms: i64,
}

impl Command for Take {
    type Reply = Vec<Delivery>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for take in batch {
            replies.push(take_some(take, tx).await?);
        }
        Ok(replies)
    }
}

async fn take_some(take: &Take, tx: &mut Tx<'_>) -> Result<Vec<Delivery>, StoreError> {
    let lease = Lease { owner: &take.owner, now_ms: take.now_ms, until_ms: take.now_ms + take.lease_ms };
    let mut taken = Vec::new();
    for lane in heads::claim(tx, Line::Lanes, take.limit, lease).await? {
        match deliveries::take_oldest(tx, &lane, take.now_ms).await? {
            Some(delivery) => {
                tx.record(delivery_updated(delivery.now(DeliveryStatus::Sending, delivery.attempt)));
                taken.push(delivery);
            }
            None => {
                tracing::error!(lane = lane.id, "lane {} was ready without a pending delivery; released", lane.id);
                heads::release(tx, Line::Lanes, &lane, take.now_ms).await?;
            }
        }
    }
    Ok(taken)
}

/// Gives back lanes that a dead process held. HTTP targets get the same idempotency key again, so a repetition of what
/// may have arrived is theirs to recognise.
#[derive(Clone, Debug)]
pub struct Reclaim {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// At start: what leases of this daemon's former processes look like, and this process's own name.
    pub former: Option<(String, String)>,
}

impl Command for Reclaim {
    type Reply = usize;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<usize>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reclaim in batch {
            let former = reclaim.former.as_ref().map(|(family, me)| Former { family, me });
            let lanes = heads::abandoned(tx, Line::Lanes, reclaim.now_ms, RECLAIM_LIMIT as i64, former).await?;
            for lane in &lanes {
                if let Some(delivery) = deliveries::requeue_sending(tx, lane, reclaim.now_ms).await? {
                    let now = delivery.now(DeliveryStatus::Pending, delivery.attempt);
                    tx.record(delivery_updated(now).with("next_attempt_at_ms", reclaim.now_ms));
                    heads::put_back(tx, Line::Lanes, lane, reclaim.now_ms, reclaim.now_ms).await?;
                } else {
                    heads::release(tx, Line::Lanes, lane, reclaim.now_ms).await?;
                }
                tx.wake_deliveries();
            }
            replies.push(lanes.len());
        }
        Ok(replies)
    }
}
