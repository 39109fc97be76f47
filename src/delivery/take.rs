//! Leasing lanes: the oldest pending part of each is recorded as being sent before a byte leaves. What is to be looked up
//! goes first.

use std::collections::HashMap;

use super::{
    policies::Policies,
    settle::{self, Settle},
};
use crate::{
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
        happening::delivery_updated,
    },
    store::{
        StoreError,
        deliveries::{self, Settlement},
        due,
        heads::{self, Former, Lease, Line},
        pauses,
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
    let paused = pauses::standing(tx).await?;
    let (lanes, probes) = if paused.is_empty() {
        (heads::claim(tx, Line::Lanes, take.limit, lease).await?, HashMap::new())
    } else {
        let due = due::beside(tx, &paused, take.limit, lease).await?;
        (heads::take(tx, Line::Lanes, due.ids, lease).await?, due.probes)
    };
    let mut taken = Vec::new();
    for lane in lanes {
        match deliveries::take_oldest(tx, &lane, take.now_ms).await? {
            Some(mut delivery) => {
                delivery.probe = probes.get(&lane.id).copied();
                tx.record(delivery_updated(delivery.now(DeliveryStatus::Sending, delivery.attempt)));
                taken.push(delivery);
            }
            None => match deliveries::take_sought(tx, &lane, take.now_ms).await? {
                Some(mut delivery) => {
                    delivery.probe = probes.get(&lane.id).copied();
                    taken.push(delivery);
                }
                None => {
                    tracing::error!(lane = lane.id, "lane {} was ready without a pending delivery; released", lane.id);
                    heads::release(tx, Line::Lanes, &lane, take.now_ms).await?;
                }
            },
        }
    }
    Ok(taken)
}

/// Gives back lanes that a dead process held. What it was sending is unknown, and goes the way of what is unknown.
#[derive(Clone)]
pub struct Reclaim {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// At start: what leases of this daemon's former processes look like, and this process's own name.
    pub former: Option<(String, String)>,
    /// What follows from not knowing.
    pub policies: Policies,
}

impl Command for Reclaim {
    type Reply = usize;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<usize>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reclaim in batch {
            let former = reclaim.former.as_ref().map(|(family, me)| Former { family, me });
            let lanes = heads::abandoned(tx, Line::Lanes, reclaim.now_ms, RECLAIM_LIMIT as i64, former).await?;
            for lane in &lanes {
                let interrupted = match deliveries::sending(tx, lane).await? {
                    Some(delivery) => Some(sending(reclaim, delivery)),
                    None => deliveries::looking(tx, lane).await?.map(|delivery| looking(reclaim, delivery)),
                };
                match interrupted {
                    Some(settle) => drop(settle::settle_one(&settle, tx).await?),
                    None => {
                        heads::release(tx, Line::Lanes, lane, reclaim.now_ms).await?;
                    }
                }
                tx.wake_deliveries();
            }
            replies.push(lanes.len());
        }
        Ok(replies)
    }
}

/// It was being sent.
fn sending(reclaim: &Reclaim, delivery: Delivery) -> Settle {
    let (now_ms, policies) = (reclaim.now_ms, &reclaim.policies);
    let policy = policies.of(&delivery);
    let look_up = policies.look_up_after_ms(&delivery);
    let detail = "the daemon ended while this was being sent".to_owned();
    let settlement = Settlement {
        status: DeliveryStatus::Unknown,
        uncounted: 0,
        sought: look_up.is_some(),
        next_ms: look_up.map(|wait| now_ms + wait).or_else(|| (policy == UnknownPolicy::Resend).then_some(now_ms)),
        error: Some(("interrupted".to_owned(), detail)),
        receipt: None,
    };
    let (looked, failed, lock, effects) = (None, None, None, Vec::new());
    Settle { delivery, settlement, policy, looked, failed, lock, effects, now_ms }
}

/// It was being looked up, which is done again.
fn looking(reclaim: &Reclaim, delivery: Delivery) -> Settle {
    let now_ms = reclaim.now_ms;
    let error = ("interrupted".to_owned(), "the daemon ended while this was being looked up".to_owned());
    let settlement = Settlement {
        status: DeliveryStatus::Unknown,
        uncounted: 0,
        sought: true,
        next_ms: Some(now_ms),
        error: Some(error.clone()),
        receipt: None,
    };
    let policy = reclaim.policies.of(&delivery);
    let (failed, lock, effects) = (None, None, Vec::new());
    Settle { delivery, settlement, policy, looked: Some(error), failed, lock, effects, now_ms }
}
