//! Leasing lanes: the oldest pending part of each is recorded as being sent before a byte leaves. What is to be looked up
//! goes first.

use std::{collections::HashMap, sync::Arc};

use super::{
    absent::{Absent, Asked},
    pace::Pacer,
    policies::Policies,
    settle::{self, Settle},
    share::Shares,
};
use crate::{
    model::{
        delivery::{Delivery, DeliveryStatus},
        happening::delivery_updated,
    },
    store::{
        StoreError,
        deliveries::{self, Settlement},
        heads::{self, Former, Lease, Line},
        pauses,
        turns::{self, Ready},
        writer::{Command, Tx},
    },
};

/// Owners that one [`Take`] looks at where the longest-ready lanes are those of owners that have their share. A step costs some
/// microseconds, and the writer serves others meanwhile.
const OWNERS_LOOKED_AT: i64 = 256;

/// Lanes that one [`Take`] looks at at least, where owners that have their share may be before others.
const LANES_LOOKED_AT: usize = 16;

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
    /// Whom lanes may be leased of.
    pub shares: Shares,
    /// Where the walk from owner to owner goes on; none is at its beginning.
    pub after: Option<String>,
    /// Says which lanes may not send yet.
    pub pacer: Arc<Pacer>,
    /// Says which connectors cannot be sent to.
    pub absent: Absent,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Taken {
    /// The oldest part of each lane that was leased, and whom the lane leads to.
    pub parts: Vec<(Delivery, String)>,
    /// Where the walk from owner to owner goes on; none when there is nothing more to look at.
    pub after: Option<String>,
    /// Lanes that were put off because of a rate: whom each leads to, and for how many milliseconds.
    pub put_off: Vec<(String, i64)>,
    /// How many lanes wait for the other side of their connector since they were looked at.
    pub waiting: usize,
}

impl Command for Take {
    type Reply = Taken;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for take in batch {
            replies.push(take_some(take, tx).await?);
        }
        Ok(replies)
    }
}

async fn take_some(take: &Take, tx: &mut Tx<'_>) -> Result<Taken, StoreError> {
    let lease = Lease { owner: &take.owner, now_ms: take.now_ms, until_ms: take.now_ms + take.lease_ms };
    let mut asked = take.absent.ask();
    let Choice { lanes, probes, elsewhere, after } = choose(take, &mut asked, lease, tx).await?;
    asked.tell(take, &elsewhere, tx).await?;
    let (lanes, waiting) = asked.hold(take, lanes, tx).await?;
    let mut put_off = Vec::new();
    let lanes = pace(take, (lanes, &probes), &mut put_off, tx).await?;
    let mut owners: HashMap<String, String> = lanes.iter().map(|lane| (lane.id.clone(), lane.owner.clone())).collect();
    let ids = lanes.into_iter().map(|lane| lane.id).collect();
    let mut taken = Taken { parts: Vec::new(), after, put_off, waiting };
    for lane in heads::take(tx, Line::Lanes, ids, lease).await? {
        let part = match deliveries::take_oldest(tx, &lane, take.now_ms).await? {
            Some(delivery) => {
                tx.record(delivery_updated(delivery.now(DeliveryStatus::Sending, delivery.attempt)));
                Some(delivery)
            }
            None => deliveries::take_sought(tx, &lane, take.now_ms).await?,
        };
        match part {
            Some(delivery) => {
                let delivery = Delivery { probe: probes.get(&lane.id).copied(), ..delivery };
                taken.parts.push((delivery, owners.remove(&lane.id).unwrap_or_default()));
            }
            None => {
                tracing::error!(lane = lane.id, "lane {} was ready without a pending delivery; released", lane.id);
                heads::release(tx, Line::Lanes, &lane, take.now_ms).await?;
            }
        }
    }
    Ok(taken)
}

/// Leaves those lanes whose next part may go. The others are put off before they are leased; a probe goes at any rate, and so
/// does a look-up, which sends nothing.
async fn pace(
    take: &Take,
    (lanes, probes): (Vec<Ready>, &HashMap<String, i64>),
    put_off: &mut Vec<(String, i64)>,
    tx: &mut Tx<'_>,
) -> Result<Vec<Ready>, StoreError> {
    let mut may_go = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let paced = !probes.contains_key(&lane.id) && take.pacer.paces(&lane.owner);
        let next = if paced { deliveries::next_target(tx, &lane.id).await? } else { None };
        match next.and_then(|target| take.pacer.ask(&lane.id, &target, take.now_ms)) {
            Some(ready_ms) => {
                turns::put_off(tx, &lane.id, ready_ms).await?;
                put_off.push((lane.owner, ready_ms - take.now_ms));
            }
            None => may_go.push(lane),
        }
    }
    Ok(may_go)
}

/// The lanes to lease.
#[derive(Default)]
struct Choice {
    lanes: Vec<Ready>,
    /// Those that are the probe of a paused connector, with how many probes of that pause have failed.
    probes: HashMap<String, i64>,
    /// Lanes that are left to another daemon, locked.
    elsewhere: Vec<Ready>,
    /// Where the walk from owner to owner goes on.
    after: Option<String>,
}

async fn choose(take: &Take, asked: &mut Asked<'_>, lease: Lease<'_>, tx: &mut Tx<'_>) -> Result<Choice, StoreError> {
    let mut shares = take.shares.clone();
    let most = usize::try_from(take.limit).unwrap_or_default();
    let mut choice = probe((&mut shares, &mut *asked), most, lease, tx).await?;
    let most = most - choice.lanes.len();
    // More than twice what the heaviest owner may still have is read only to be left lying.
    let look = most.min(2 * shares.heaviest_room() + LANES_LOOKED_AT);
    let longest = turns::longest(tx, i64::try_from(look).unwrap_or(i64::MAX), take.now_ms).await?;
    let all = longest.len() < look;
    let (elsewhere, longest) = asked.part(longest);
    choice.elsewhere = elsewhere;
    let chosen = shares.pick(longest, most);
    if all || chosen.len() == look {
        choice.after = take.after.clone().filter(|_| !all);
        choice.lanes.extend(chosen);
        return Ok(choice);
    }
    let after = take.after.as_deref().unwrap_or_default();
    let round = turns::round(tx, after, OWNERS_LOOKED_AT, take.now_ms).await?;
    let (_, others) = asked.part(round.ready.into_iter().filter(|lane| !chosen.contains(lane)).collect());
    let others = shares.pick(others, most - chosen.len());
    choice.lanes.extend(chosen);
    choice.lanes.extend(turns::lock(tx, others).await?);
    choice.after = round.last;
    Ok(choice)
}

/// Closes the shares of paused connectors, whose lanes stay as they are however many there are; of each whose probe is due its
/// longest-ready lane is leased. A probe that was chosen keeps others away for as long as the lease. None is tried while the
/// other side is not there, which could say nothing.
async fn probe(
    (shares, asked): (&mut Shares, &mut Asked<'_>),
    most: usize,
    lease: Lease<'_>,
    tx: &mut Tx<'_>,
) -> Result<Choice, StoreError> {
    let mut choice = Choice::default();
    for pause in pauses::standing(tx).await? {
        shares.close(pause.connector.clone());
        let due = pause.probe_ms <= lease.now_ms && choice.lanes.len() < most;
        if !due || asked.of(&pause.connector).is_some() {
            continue;
        }
        let Some(lane) = turns::first_of(tx, &pause.connector, lease.now_ms).await? else { continue };
        if pauses::hold_probe(tx, &pause, lease.until_ms).await? {
            choice.probes.insert(lane.id.clone(), pause.failed);
            choice.lanes.push(lane);
        }
    }
    Ok(choice)
}

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Lanes, at most [`RECLAIM_LIMIT`].
    pub lanes: usize,
    /// Those in which a part was being sent, so that nobody knows whether it arrived.
    pub unknown: usize,
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
    type Reply = Reclaimed;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Reclaimed>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for reclaim in batch {
            let former = reclaim.former.as_ref().map(|(family, me)| Former { family, me });
            let lanes = heads::abandoned(tx, Line::Lanes, reclaim.now_ms, RECLAIM_LIMIT as i64, former).await?;
            let mut reclaimed = Reclaimed { lanes: lanes.len(), unknown: 0 };
            for lane in &lanes {
                pauses::release_probe(tx, &lane.id, reclaim.now_ms).await?;
                let interrupted = match deliveries::sending(tx, lane).await? {
                    Some(delivery) => {
                        reclaimed.unknown += 1;
                        Some(sending(reclaim, delivery))
                    }
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
            replies.push(reclaimed);
        }
        Ok(replies)
    }
}

/// It was being sent.
fn sending(reclaim: &Reclaim, delivery: Delivery) -> Settle {
    let now_ms = reclaim.now_ms;
    let policy = reclaim.policies.of(&delivery);
    let error = ("interrupted".to_owned(), "the daemon ended while this was being sent".to_owned());
    let settlement = reclaim.policies.unknown(&delivery, error, (now_ms, 0));
    let (looked, failed, lock, effects) = (None, None, None, Vec::new());
    Settle { delivery, settlement, policy, looked, failed, lock, effects, paced_ms: None, now_ms }
}

/// It was being looked up, which is done again.
fn looking(reclaim: &Reclaim, delivery: Delivery) -> Settle {
    let now_ms = reclaim.now_ms;
    let error = ("interrupted".to_owned(), "the daemon ended while this was being looked up".to_owned());
    let settlement = Settlement::sought(now_ms, error.clone());
    let policy = reclaim.policies.of(&delivery);
    let (failed, lock, effects) = (None, None, Vec::new());
    Settle { delivery, settlement, policy, looked: Some(error), failed, lock, effects, paced_ms: None, now_ms }
}
