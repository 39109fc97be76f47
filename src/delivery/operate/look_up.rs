//! Unknown parts whose platform can be asked: it is asked now, before anything else goes there.

use super::Refusal;
use crate::{
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        happening::delivery_updated,
        ids::DeliveryId,
    },
    store::{
        StoreError,
        deliveries::operate::{self, Part, Sought},
        heads::{self, Line},
        lanes,
        writer::{Command, Tx},
    },
};

/// Has every unknown part of a delivery looked up. Those that are being looked up are left alone.
#[derive(Clone, Debug)]
pub struct Seek {
    /// Which.
    pub id: DeliveryId,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Seek {
    type Reply = Result<(), Refusal>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for seek in batch {
            replies.push(seek_one(seek, tx).await?);
        }
        Ok(replies)
    }
}

async fn seek_one(seek: &Seek, tx: &mut Tx<'_>) -> Result<Result<(), Refusal>, StoreError> {
    heads::lock_of(tx, Line::Lanes, seek.id).await?;
    let parts = operate::parts(tx, seek.id).await?;
    if parts.is_empty() {
        return Ok(Err(Refusal::Missing));
    }
    let unknown: Vec<&Part> = parts.iter().filter(|part| part.status == DeliveryStatus::Unknown).collect();
    let Some(first) = unknown.first() else {
        let state: DeliveryState = operate::state(&parts);
        return Ok(Err(Refusal::Stands(state)));
    };
    let lane = first.lane.as_str();
    let held = lanes::is_held_by(tx, lane, seek.id).await?;
    let mut waiting = 0;
    for part in unknown.iter().filter(|part| part.sought != Sought::Now) {
        let asleep = part.sought == Sought::No;
        waiting += i64::from(asleep && held);
        // A lane that went on gets it at its end, should it have to be sent again.
        let seq = if asleep && !held { super::room(part, 1, seek.now_ms, tx).await? } else { part.seq };
        operate::seek(tx, part, seq, seek.now_ms).await?;
        let told = delivery_updated(part.now(DeliveryStatus::Unknown)).with("part", part.part);
        tx.record(told.with("change", "look_up").with("next_look_up_at_ms", seek.now_ms));
    }
    // What is to be looked up goes first, so that nothing behind it is sent before.
    lanes::let_go(tx, lane, seek.id).await?;
    lanes::recount(tx, lane, waiting, seek.now_ms).await?;
    tx.wake_deliveries();
    Ok(Ok(()))
}
