//! What streams are told of children.

use crate::{
    model::happening::Happening,
    store::{
        StoreError,
        writer::{Command, Tx},
    },
};

/// Tells of one thing.
pub(super) struct Tell(pub(super) Happening);

impl Command for Tell {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        batch.iter().for_each(|Self(happening)| tx.record(happening.clone()));
        Ok(vec![(); batch.len()])
    }
}
