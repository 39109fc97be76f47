//! Transaction 4, settle: delivered, to be tried again, or given up; the lane moves on or waits.

use crate::{
    model::{
        delivery::{Delivery, DeliveryStatus},
        target::ReplyTarget,
    },
    store::{
        StoreError,
        deliveries::{self, Settlement},
        heads::{self, Claimed, Line},
        writer::{Command, Tx},
    },
};

/// Records how an attempt ended.
#[derive(Clone, Debug)]
pub struct Settle {
    /// What was sent, under which epoch of its lane.
    pub delivery: Delivery,
    /// How it ended.
    pub settlement: Settlement,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Settle {
    /// False when the lease was lost; nothing was written.
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for settle in batch {
            replies.push(settle_one(settle, tx).await?);
        }
        Ok(replies)
    }
}

async fn settle_one(settle: &Settle, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let delivery = &settle.delivery;
    if !deliveries::settle(tx, delivery.id, delivery.epoch, &settle.settlement, settle.now_ms).await? {
        return Ok(false);
    }
    let lane = lane(&delivery.target, delivery.epoch);
    match (settle.settlement.status, settle.settlement.next_ms) {
        (DeliveryStatus::Pending, Some(next_ms)) => {
            heads::put_back(tx, Line::Lanes, &lane, next_ms, settle.now_ms).await?;
        }
        _ => {
            heads::release(tx, Line::Lanes, &lane, settle.now_ms).await?;
        }
    }
    tx.wake_deliveries();
    Ok(true)
}

fn lane(target: &ReplyTarget, epoch: i64) -> Claimed {
    Claimed { id: target.lane(), epoch }
}
