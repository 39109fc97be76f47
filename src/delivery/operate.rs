//! What operators do about deliveries. Each act is one command of the store: it looks, refuses or does all of it, and tells
//! the streams.

pub mod close;
pub mod decide;
pub mod look_up;
pub mod replay;
pub mod reset;

use super::targets;
use crate::{
    model::{
        delivery::{DeliveryState, DeliveryStatus},
        target::ReplyTarget,
    },
    store::{
        StoreError,
        deliveries::operate::Part,
        heads::{self, Added, Line},
        writer::Tx,
    },
};

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such delivery.
    Missing,
    /// The delivery has no such part.
    NoPart,
    /// The delivery does not stand as this needs it to.
    Stands(DeliveryState),
    /// The part does not stand as this needs it to.
    PartStands(DeliveryStatus),
    /// It was given up, and parts of it may have arrived: these are to be decided first.
    Undecided,
}

/// Makes room for so many parts at the end of the lane that this part is in, and gives the first place of it.
async fn room(like: &Part, count: i64, now_ms: i64, tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let target = ReplyTarget { plugin: like.plugin.clone(), address: like.address.clone() };
    let owner = targets::owner(&target);
    let added = [Added { id: &like.lane, count, owner: Some(&owner) }];
    let tails = heads::grow(tx, Line::Lanes, &added, now_ms).await?;
    let tail = tails.get(&like.lane).ok_or(StoreError::Damaged("a lane that was extended is not there"))?;
    Ok(tail.last_seq - count + 1)
}
