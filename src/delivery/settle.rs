//! Transaction 4, settle: delivered, to be tried again, unknown, or given up, with what the plugin wants remembered; the
//! lane moves on or waits.

use serde_json::json;

use super::{BreakerSettings, targets};
use crate::{
    connectors::Effect,
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
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
    /// How it ended. Unknown with a time to try again is said to be unknown, and then waits.
    pub settlement: Settlement,
    /// What follows from not knowing.
    pub policy: UnknownPolicy,
    /// When it was a failure that another try may mend: what breaks the lane off.
    pub failed: Option<BreakerSettings>,
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

pub(super) async fn settle_one(settle: &Settle, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let (delivery, settlement) = (&settle.delivery, &settle.settlement);
    let waits = Settlement { status: DeliveryStatus::Pending, ..settlement.clone() };
    let again = settlement.next_ms.is_some();
    let row = if again { &waits } else { settlement };
    if !deliveries::settle(tx, delivery, row, settle.now_ms).await? {
        return Ok(false);
    }
    write_effects(settle, tx).await?;
    if let Some((code, detail)) = &settlement.error {
        deliveries::record_attempt(tx, delivery, outcome(settlement.status), (code, detail), settle.now_ms).await?;
    }
    if again && settlement.status == DeliveryStatus::Unknown {
        // Streams hear that it was unknown before they hear that it waits again.
        tx.record(told(delivery, &Settlement { next_ms: None, ..settlement.clone() }));
    }
    tx.record(told(delivery, row));
    move_lane(settle, tx).await?;
    tx.wake_deliveries();
    Ok(true)
}

/// The lane goes on with what is next in it: this part again, the next one, or nothing while somebody has to decide.
async fn move_lane(settle: &Settle, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let Settle { delivery, settlement, now_ms, .. } = settle;
    let lane = lane(&delivery.target, delivery.epoch);
    let open = match &settle.failed {
        Some(breaker) => {
            let open_until = now_ms + breaker.cooldown_ms;
            heads::failed(tx, &lane, breaker.failures, open_until).await?.then_some(open_until)
        }
        None => None,
    };
    if let Some(next_ms) = settlement.next_ms {
        heads::put_back(tx, Line::Lanes, &lane, next_ms.max(open.unwrap_or(0)), *now_ms).await?;
        return Ok(());
    }
    match settlement.status {
        // A success closes the breaker.
        DeliveryStatus::Delivered if delivery.lane_failures > 0 => heads::recovered(tx, &lane).await?,
        DeliveryStatus::Dead if delivery.part + 1 < delivery.parts => {
            let cancelled = deliveries::cancel_rest(tx, delivery, *now_ms).await?;
            heads::forget(tx, &lane, cancelled).await?;
        }
        DeliveryStatus::Unknown if settle.policy == UnknownPolicy::Hold => heads::hold(tx, &lane, delivery.id).await?,
        _ => {}
    }
    // The next delivery is the probe when the one that ended has opened the breaker.
    let ready_ms = open.unwrap_or(*now_ms);
    heads::release(tx, Line::Lanes, &lane, ready_ms).await?;
    Ok(())
}

fn outcome(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Unknown => "unknown",
        DeliveryStatus::Dead => "dead",
        _ => "retry",
    }
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
        .with_some("part", (delivery.parts > 1).then_some(delivery.part))
        .with_some("next_attempt_at_ms", settlement.next_ms)
        .with_some("error", error.map(|error| json!(error)))
}

fn lane(target: &ReplyTarget, epoch: i64) -> Claimed {
    Claimed { id: target.lane(), epoch }
}
