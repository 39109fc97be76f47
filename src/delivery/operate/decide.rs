//! Unknown parts: an operator who looked says whether they arrived.

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

/// What an operator found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did not arrive, or may arrive twice: send it again.
    Resend,
    /// It arrived, and this is what the platform calls it.
    Delivered(Option<String>),
}

/// Decides about unknown parts.
#[derive(Clone, Debug)]
pub struct Decide {
    /// Of which delivery.
    pub id: DeliveryId,
    /// Which part; none is every unknown one.
    pub part: Option<i64>,
    /// What was found.
    pub verdict: Verdict,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Command for Decide {
    /// How many parts were decided.
    type Reply = Result<usize, Refusal>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for decide in batch {
            replies.push(decide_one(decide, tx).await?);
        }
        Ok(replies)
    }
}

async fn decide_one(decide: &Decide, tx: &mut Tx<'_>) -> Result<Result<usize, Refusal>, StoreError> {
    heads::lock_of(tx, Line::Lanes, decide.id).await?;
    let parts = operate::parts(tx, decide.id).await?;
    let unknown = match chosen(decide, &parts) {
        Ok(unknown) => unknown,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(first) = unknown.first() else { return Ok(Err(Refusal::Missing)) };
    let lane = first.lane.as_str();
    let held = lanes::is_held_by(tx, lane, decide.id).await?;
    let mut waiting = 0;
    for part in &unknown {
        // One that waits to be looked up is in the lane already.
        let waits = part.sought == Sought::Waits;
        let status = match &decide.verdict {
            Verdict::Resend => {
                let in_place = held || part.sought != Sought::No;
                waiting += i64::from(in_place && !waits);
                // A lane that went on gets it at its end.
                let seq = if in_place { part.seq } else { super::room(part, 1, decide.now_ms, tx).await? };
                operate::put_back(tx, part, seq, decide.now_ms).await?;
                DeliveryStatus::Pending
            }
            Verdict::Delivered(platform_id) => {
                waiting -= i64::from(waits);
                operate::arrived(tx, part, platform_id.as_deref(), decide.now_ms).await?;
                DeliveryStatus::Delivered
            }
        };
        let change = if status == DeliveryStatus::Pending { "resend" } else { "marked_delivered" };
        tx.record(delivery_updated(part.now(status)).with("part", part.part).with("change", change));
    }
    let undecided = |part: &&Part| part.status == DeliveryStatus::Unknown && part.sought == Sought::No;
    if parts.iter().filter(undecided).all(|left| unknown.iter().any(|part| part.part == left.part)) {
        lanes::let_go(tx, lane, decide.id).await?;
    }
    lanes::recount(tx, lane, waiting, decide.now_ms).await?;
    tx.wake_deliveries();
    Ok(Ok(unknown.len()))
}

/// The parts that are meant, all of them unknown.
fn chosen<'p>(decide: &Decide, parts: &'p [Part]) -> Result<Vec<&'p Part>, Refusal> {
    let is_unknown = |part: &&Part| part.status == DeliveryStatus::Unknown;
    match decide.part {
        _ if parts.is_empty() => Err(Refusal::Missing),
        Some(wanted) => match parts.iter().find(|part| part.part == wanted) {
            None => Err(Refusal::NoPart),
            Some(part) if is_unknown(&part) => Ok(vec![part]),
            Some(part) => Err(Refusal::PartStands(part.status)),
        },
        None => {
            let unknown: Vec<&Part> = parts.iter().filter(is_unknown).collect();
            let state: DeliveryState = operate::state(parts);
            if unknown.is_empty() { Err(Refusal::Stands(state)) } else { Ok(unknown) }
        }
    }
}
