//! Ends: dead letters are resolved or purged, and what waits is withdrawn.

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

/// What is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A dead letter stays, and nothing is left to do about it, for this reason.
    Resolve(String),
    /// A dead letter and its recorded attempts are removed.
    Purge,
    /// Parts that wait are not sent.
    Cancel,
}

/// Ends a delivery.
#[derive(Clone, Debug)]
pub struct Close {
    /// Which.
    pub id: DeliveryId,
    /// How.
    pub end: End,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Close {
    type Reply = Result<(), Refusal>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for close in batch {
            replies.push(close_one(close, tx).await?);
        }
        Ok(replies)
    }
}

async fn close_one(close: &Close, tx: &mut Tx<'_>) -> Result<Result<(), Refusal>, StoreError> {
    heads::lock_of(tx, Line::Lanes, close.id).await?;
    let parts = operate::parts(tx, close.id).await?;
    let Some(first) = parts.first() else { return Ok(Err(Refusal::Missing)) };
    let state = operate::state(&parts);
    if close.end == End::Cancel {
        return cancel(close, &parts, tx).await;
    }
    let Some(dead) = parts.iter().find(|part| part.status == DeliveryStatus::Dead) else {
        return Ok(Err(Refusal::Stands(state)));
    };
    let change = match &close.end {
        End::Resolve(reason) => {
            if !operate::resolve(tx, close.id, reason, close.now_ms).await? {
                return Ok(Ok(()));
            }
            "resolved"
        }
        End::Purge | End::Cancel => {
            // Nothing that is undecided holds up a lane when it is gone.
            lanes::let_go(tx, &first.lane, close.id).await?;
            let waits = |part: &&Part| part.status == DeliveryStatus::Pending || part.sought == Sought::Waits;
            let waiting = parts.iter().filter(waits).count();
            operate::purge(tx, close.id).await?;
            lanes::recount(tx, &first.lane, -i64::try_from(waiting).unwrap_or_default(), close.now_ms).await?;
            "purged"
        }
    };
    tx.record(delivery_updated(dead.now(DeliveryStatus::Dead)).with("change", change));
    Ok(Ok(()))
}

async fn cancel(close: &Close, parts: &[Part], tx: &mut Tx<'_>) -> Result<Result<(), Refusal>, StoreError> {
    let waiting: Vec<&Part> = parts.iter().filter(|part| part.status == DeliveryStatus::Pending).collect();
    let Some(first) = waiting.first() else {
        let state: DeliveryState = operate::state(parts);
        return Ok(Err(Refusal::Stands(state)));
    };
    for part in &waiting {
        operate::cancel(tx, part, close.now_ms).await?;
        let told = delivery_updated(part.now(DeliveryStatus::Cancelled)).with("change", "cancelled");
        tx.record(told.with_some("part", (part.parts > 1).then_some(part.part)));
    }
    lanes::recount(tx, &first.lane, -i64::try_from(waiting.len()).unwrap_or_default(), close.now_ms).await?;
    tx.wake_deliveries();
    Ok(Ok(()))
}
