//! Transaction 4, settle: delivered, to be tried again, to be looked up, unknown, or given up, with what the plugin wants
//! remembered; the lane moves on or waits.

use serde_json::json;

use super::{
    BreakerSettings,
    pause::{self, Change, Lock},
    targets,
};
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
        key_values, lanes,
        writer::{Command, Tx},
    },
};

/// Records how an attempt, or a look-up, ended.
#[derive(Clone, Debug)]
pub struct Settle {
    /// What was sent, under which epoch of its lane.
    pub delivery: Delivery,
    /// How it ended. Unknown with a time to try again is said to be unknown, and then waits, unless it is looked up then.
    pub settlement: Settlement,
    /// What follows from not knowing.
    pub policy: UnknownPolicy,
    /// What a look-up said, stable and for people; none for an attempt.
    pub looked: Option<(String, String)>,
    /// When it was a failure that another try may mend: what breaks the lane off.
    pub failed: Option<BreakerSettings>,
    /// What it says about the lock of its connector.
    pub lock: Option<Lock>,
    /// What the plugin that sent it writes to its connector's state.
    pub effects: Vec<Effect>,
    /// When the next part of the lane may leave, where a rate says so; milliseconds since 1970.
    pub paced_ms: Option<i64>,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The lease was lost; nothing was written.
    Lost,
    /// It was written.
    Done {
        /// A pause of the connector began or ended with it.
        change: Option<Change>,
        /// What waits in the lane waits because of a rate.
        paced: bool,
    },
}

impl Command for Settle {
    type Reply = Settled;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Settled>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for settle in batch {
            replies.push(settle_one(settle, tx).await?);
        }
        Ok(replies)
    }
}

pub(super) async fn settle_one(settle: &Settle, tx: &mut Tx<'_>) -> Result<Settled, StoreError> {
    let (delivery, settlement) = (&settle.delivery, &settle.settlement);
    heads::lock_of(tx, Line::Lanes, delivery.id).await?;
    let waits = Settlement { status: DeliveryStatus::Pending, ..settlement.clone() };
    let again = settlement.next_ms.is_some() && !settlement.sought;
    let row = if again { &waits } else { settlement };
    if !deliveries::settle(tx, delivery, row, settle.now_ms).await? {
        if delivery.look_up.is_some() {
            // An operator may have decided meanwhile; then the lease is still held.
            heads::release(tx, Line::Lanes, &lane(&delivery.target, delivery.epoch), settle.now_ms).await?;
            lanes::recount(tx, &delivery.target.lane(), 0, settle.now_ms).await?;
            tx.wake_deliveries();
        }
        return Ok(Settled::Lost);
    }
    write_effects(settle, tx).await?;
    let failed = settlement.error.as_ref().map(|error| (outcome(settlement.status), error));
    if let Some((outcome, (code, detail))) = settle.looked.as_ref().map(|said| ("look_up", said)).or(failed) {
        deliveries::record_attempt(tx, delivery, outcome, (code, detail), settle.now_ms).await?;
    }
    if again && settlement.status == DeliveryStatus::Unknown {
        // Streams hear that it was unknown before they hear that it waits again.
        tx.record(told(delivery, &Settlement { next_ms: None, ..settlement.clone() }));
    }
    let said = settle.looked.as_ref().map(|(code, _)| code.clone());
    tx.record(told(delivery, &Settlement { next_ms: due(settle), ..row.clone() }).with_some("look_up", said));
    let paced = move_lane(settle, tx).await?;
    if delivery.look_up.is_some() {
        // What waits behind it may have a time of its own.
        lanes::recount(tx, &delivery.target.lane(), 0, settle.now_ms).await?;
    }
    let change = record_lock(settle, tx).await?;
    tx.wake_deliveries();
    Ok(Settled::Done { change, paced })
}

async fn record_lock(settle: &Settle, tx: &mut Tx<'_>) -> Result<Option<Change>, StoreError> {
    let Settle { delivery, settlement, now_ms, .. } = settle;
    let (Some(lock), Some(connector)) = (&settle.lock, targets::refers_to(&delivery.target)) else { return Ok(None) };
    let (code, reason) = settlement.error.as_ref().map_or(("", ""), |(code, reason)| (code, reason));
    let connector = (&*connector.to_string(), delivery.probe.is_some());
    pause::record(tx, connector, lock, (code, reason), *now_ms).await
}

/// The lane goes on with what is next in it: this part again, the next one, or nothing while somebody has to decide. True
/// when something waits in it because of a rate.
async fn move_lane(settle: &Settle, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
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
        return Ok(false);
    }
    match settlement.status {
        // A success closes the breaker.
        DeliveryStatus::Delivered if delivery.lane_failures > 0 && delivery.look_up.is_none() => {
            heads::recovered(tx, &lane).await?
        }
        DeliveryStatus::Dead if delivery.part + 1 < delivery.parts => {
            let cancelled = deliveries::cancel_rest(tx, delivery, *now_ms).await?;
            heads::forget(tx, &lane, i64::try_from(cancelled.len()).unwrap_or(i64::MAX)).await?;
            for (part, attempts) in cancelled {
                tx.record(delivery_updated(delivery.now(DeliveryStatus::Cancelled, attempts)).with("part", part));
            }
        }
        DeliveryStatus::Unknown if settle.policy == UnknownPolicy::Hold => heads::hold(tx, &lane, delivery.id).await?,
        _ => {}
    }
    // The next delivery is the probe when the one that ended has opened the breaker.
    let ready_ms = open.max(settlement.peace_ms).unwrap_or(*now_ms);
    match settle.paced_ms.filter(|paced_ms| *paced_ms > ready_ms) {
        Some(paced_ms) => lanes::release(tx, &lane, (paced_ms, ready_ms), *now_ms).await,
        None => heads::release(tx, Line::Lanes, &lane, ready_ms).await.map(|_| false),
    }
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

/// When the part is due at the earliest: not before the probe of the pause that it has found.
fn due(settle: &Settle) -> Option<i64> {
    let probe_ms = match settle.lock {
        Some(Lock::Locked(probe_ms) | Lock::Unsaid(probe_ms)) => Some(probe_ms),
        Some(Lock::Open) | None => None,
    };
    let next_ms = settle.settlement.next_ms;
    next_ms.and_then(|_| next_ms.max(probe_ms))
}

fn told(delivery: &Delivery, settlement: &Settlement) -> Happening {
    let error = settlement.error.clone().map(|(code, detail)| RunError { code, detail });
    let uncounted = if delivery.look_up.is_some() { 0 } else { settlement.uncounted };
    let next = if settlement.sought { "next_look_up_at_ms" } else { "next_attempt_at_ms" };
    delivery_updated(delivery.now(settlement.status, delivery.attempt - uncounted))
        .with_some("part", (delivery.parts > 1).then_some(delivery.part))
        .with_some(next, settlement.next_ms)
        .with_some("error", error.map(|error| json!(error)))
}

fn lane(target: &ReplyTarget, epoch: i64) -> Claimed {
    Claimed { id: target.lane(), epoch }
}
