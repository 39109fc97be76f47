//! Transaction 4, settle: delivered, to be tried again, unknown, or given up, with what the plugin wants remembered; the
//! lane moves on or waits.

use serde_json::json;

use super::targets;
use crate::{
    connectors::Effect,
    model::{
        delivery::{Delivery, DeliveryStatus},
        happening::{Happening, delivery_updated},
        run::RunError,
        target::ReplyTarget,
    },
    store::{
        StoreError,
        deliveries::{self, Settlement},
        heads::{self, Claimed, Line},
        key_values,
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
    /// What the plugin that sent it writes to its connector's state.
    pub effects: Vec<Effect>,
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
    write_effects(settle, tx).await?;
    tx.record(told(delivery, &settle.settlement));
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

async fn write_effects(settle: &Settle, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let Some(connector) = targets::refers_to(&settle.delivery.target) else { return Ok(()) };
    let connector = connector.to_string();
    for effect in &settle.effects {
        match effect {
            Effect::Set { key, value } => key_values::set(tx, &connector, key, value).await?,
            Effect::Delete { key } => key_values::delete(tx, &connector, key).await?,
        }
    }
    Ok(())
}

fn told(delivery: &Delivery, settlement: &Settlement) -> Happening {
    let error = settlement.error.clone().map(|(code, detail)| RunError { code, detail });
    delivery_updated(delivery.now(settlement.status, delivery.attempt - settlement.uncounted))
        .with_some("next_attempt_at_ms", settlement.next_ms)
        .with_some("error", error.map(|error| json!(error)))
}

fn lane(target: &ReplyTarget, epoch: i64) -> Claimed {
    Claimed { id: target.lane(), epoch }
}
