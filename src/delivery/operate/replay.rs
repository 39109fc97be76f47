//! Replay: a dead letter becomes a new delivery that sends what was not sent, under the same idempotency key.

use super::Refusal;
use crate::{
    clock::Clock,
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        happening::delivery_updated,
        ids::DeliveryId,
    },
    store::{
        StoreError,
        deliveries::operate::{self, Part},
        writer::{Command, Tx},
    },
};

/// Repeats a dead or cancelled delivery.
#[derive(Clone)]
pub struct Replay {
    /// Which.
    pub id: DeliveryId,
    /// Under a new key and with all of its parts, also when there is a replay already.
    pub force: bool,
    /// Where time and new ids come from.
    pub clock: Clock,
}

/// The delivery that repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It was made now.
    New(DeliveryId),
    /// It was made before.
    Existing(DeliveryId),
}

impl Command for Replay {
    type Reply = Result<Replayed, Refusal>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for replay in batch {
            replies.push(replay_one(replay, tx).await?);
        }
        Ok(replies)
    }
}

async fn replay_one(replay: &Replay, tx: &mut Tx<'_>) -> Result<Result<Replayed, Refusal>, StoreError> {
    let source = operate::parts(tx, replay.id).await?;
    if source.is_empty() {
        return Ok(Err(Refusal::Missing));
    }
    let state = operate::state(&source);
    if !matches!(state, DeliveryState::DeadLettered | DeliveryState::Cancelled) {
        return Ok(Err(Refusal::Stands(state)));
    }
    if !replay.force {
        if let Some(existing) = operate::replay_of(tx, replay.id).await? {
            return Ok(Ok(Replayed::Existing(existing)));
        }
        if source.iter().any(|part| part.status == DeliveryStatus::Unknown) {
            return Ok(Err(Refusal::Undecided));
        }
    }
    let id = replay.clock.delivery_id();
    let now_ms = replay.clock.now_ms();
    let copies = copies(source, id, replay.force);
    let Some(first) = copies.first() else { return Ok(Err(Refusal::Missing)) };
    let waiting = copies.iter().filter(|part| part.status == DeliveryStatus::Pending).count();
    let next = super::room(first, i64::try_from(waiting).unwrap_or(i64::MAX), now_ms, tx).await?;
    let copies = placed(copies, next);
    operate::insert(tx, &copies, now_ms).await?;
    if let Some(first) = copies.iter().find(|part| part.status == DeliveryStatus::Pending) {
        let told = delivery_updated(first.now(DeliveryStatus::Pending)).with("change", "replayed");
        tx.record(told.with("replayed_from", replay.id.to_string()));
    }
    tx.wake_deliveries();
    Ok(Ok(Replayed::New(id)))
}

/// The parts of the new delivery. What arrived stays so, with its receipt, unless everything is to be sent.
fn copies(source: Vec<Part>, id: DeliveryId, force: bool) -> Vec<Part> {
    let copy = |part: Part| {
        let keeps = part.status == DeliveryStatus::Delivered && !force;
        let origin = if force { None } else { Some(part.origin.unwrap_or(part.id)) };
        let old = Part { replayed_from: Some(part.id), id, origin, ..part };
        if keeps {
            return old;
        }
        let fresh = Part { status: DeliveryStatus::Pending, attempts: 0, tried: false, ended_ms: None, ..old };
        Part { platform_ref: None, detail: None, ..fresh }
    };
    source.into_iter().map(copy).collect()
}

/// The parts with those that wait in the places from `next` on.
fn placed(mut copies: Vec<Part>, mut next: i64) -> Vec<Part> {
    for part in copies.iter_mut().filter(|part| part.status == DeliveryStatus::Pending) {
        part.seq = next;
        next += 1;
    }
    copies
}
