//! What the caller of an accepted event hears: the run.

use super::accept::Accepted;
use crate::{
    store::{Store, StoreError, runs},
    wire::view::RunView,
};

/// The run that the first of some accepted events is, fresh or as it stands now.
pub async fn of_first(store: &Store, accepted: Vec<Accepted>) -> Result<Option<RunView>, StoreError> {
    match accepted.into_iter().next() {
        Some(Accepted::Fresh(run, before)) => Ok(Some(RunView::queued(*run, before))),
        Some(Accepted::Duplicate(id)) => match runs::get(store, id).await? {
            Some(run) => Ok(Some(RunView::load(store, run).await?)),
            None => Err(StoreError::Damaged("a receipt names a run that does not exist")),
        },
        None => Ok(None),
    }
}
