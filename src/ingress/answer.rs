//! What the caller of an accepted event hears: the run, or what is wrong with the targets that were named.

use axum::http::StatusCode;

use super::accept::Accepted;
use crate::{
    delivery::targets::{self, TargetError},
    model::target::ReplyTarget,
    store::{Store, StoreError, runs},
    wire::{
        problem::{FieldError, Problem},
        view::RunView,
    },
};

/// The run that the first of some accepted events is, fresh or as it stands now.
pub async fn of_first(store: &Store, accepted: Vec<Accepted>) -> Result<Option<RunView>, StoreError> {
    match accepted.into_iter().next() {
        Some(Accepted::Fresh(run, before)) => Ok(Some(RunView::queued(store, *run, before))),
        Some(Accepted::Joined(id) | Accepted::Duplicate(id)) => match runs::get(store, id).await? {
            Some(run) => Ok(Some(RunView::load(store, run).await?)),
            None => Err(StoreError::Damaged("a receipt names a run that does not exist")),
        },
        None => Ok(None),
    }
}

/// Reply targets that were checked, as they are stored: each once. Otherwise every one that is wrong is told of.
pub fn targets_taken(
    domain: &'static str,
    checked: Vec<Result<ReplyTarget, TargetError>>,
) -> Result<Vec<ReplyTarget>, Problem> {
    let (mut taken, mut wrong) = (Vec::with_capacity(checked.len()), Vec::new());
    for (index, target) in checked.into_iter().enumerate() {
        match target {
            Ok(target) => taken.push(target),
            Err(TargetError::Invalid(detail)) => {
                wrong.push(FieldError { pointer: format!("/reply_targets/{index}"), detail });
            }
            Err(error) => return Err(target_refused(domain, &error)),
        }
    }
    let detail = match wrong.as_slice() {
        [] => return Ok(targets::distinct(taken)),
        [one] => one.detail.clone(),
        [first, rest @ ..] => format!("{} (and {} more targets are wrong)", first.detail, rest.len()),
    };
    Err(Problem::bad_request(domain, "reply_target_invalid", detail).with_errors(wrong))
}

/// A reply target was not taken.
pub fn target_refused(domain: &'static str, error: &TargetError) -> Problem {
    let detail = error.to_string();
    match error {
        TargetError::Invalid(_) => Problem::bad_request(domain, "reply_target_invalid", detail),
        TargetError::Failed(_) => Problem::new(StatusCode::BAD_GATEWAY, domain, "connector_failed", detail),
        TargetError::Busy(_) => Problem::unavailable(domain, "service_unavailable", detail),
    }
}
