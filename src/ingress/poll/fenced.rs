//! What a poll brought, made durable only by whoever still has the duty to poll.

use std::slice;

use crate::{
    ingress::accept::{Accept, Accepted, Refused},
    store::{
        StoreError,
        duties::{self, Duty},
        writer::{Command, Tx},
    },
};

/// Events and effects of whoever has a duty.
#[derive(Debug)]
pub struct Fenced {
    /// The duty.
    pub duty: Duty,
    /// What is to be made durable.
    pub accept: Accept,
}

impl Command for Fenced {
    /// None when somebody else has the duty by now: nothing was written.
    type Reply = Option<Result<Vec<Accepted>, Refused>>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for Self { duty, accept } in batch {
            let held = duties::is_held(tx, duty).await?;
            replies.push(if held { Accept::apply(slice::from_ref(accept), tx).await?.pop() } else { None });
        }
        Ok(replies)
    }
}
