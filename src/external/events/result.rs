//! What sidecars hear of their events.

use serde::Serialize;
use utoipa::ToSchema;

use super::decide::Decided;
use crate::{
    ingress::accept::Refused,
    model::ids::{RunId, SessionId},
    store::{Store, StoreError, runs},
};

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExternalEventResult)]
pub(super) struct EventResult {
    /// As it was sent; absent where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_id: Option<String>,
    status: EventStatus,
    /// The session that it went to, when it was accepted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session_id: Option<SessionId>,
    /// The run that was made of it, when it was accepted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<RunId>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// When there is room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u64>,
}

/// What became of one event, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ExternalEventStatus)]
pub(super) enum EventStatus {
    /// It is a new run.
    Accepted,
    /// It was accepted before.
    Duplicate,
    /// It is not taken, however often it is sent.
    Rejected,
    /// It came too soon. In batches only.
    RateLimited,
    /// It was not taken now. In batches only.
    Error,
}

/// What became of each event of a batch, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExternalBatchResult)]
pub(super) struct BatchResult {
    pub(super) results: Vec<EventResult>,
}

impl EventResult {
    /// The word for a header.
    pub(super) fn status(&self) -> &'static str {
        match self.status {
            EventStatus::Accepted => "accepted",
            EventStatus::Duplicate => "duplicate",
            EventStatus::Rejected => "rejected",
            EventStatus::RateLimited => "rate_limited",
            EventStatus::Error => "error",
        }
    }

    fn new(event_id: Option<String>, status: EventStatus) -> Self {
        Self { event_id, status, session_id: None, run_id: None, reason: None, retry_after_ms: None }
    }
}

/// Puts into words what was decided. Of events that were accepted before, the original session is looked up.
pub(super) async fn of(store: &Store, decided: Vec<(Option<String>, Decided)>) -> Result<Vec<EventResult>, StoreError> {
    let former: Vec<RunId> = decided
        .iter()
        .filter_map(|(_, one)| match one {
            Decided::Duplicate(run) | Decided::Rejected(_, Some(run)) => Some(*run),
            _ => None,
        })
        .collect();
    let sessions = runs::sessions_of(store, &former).await?;
    let one = |(event_id, decided): (Option<String>, Decided)| {
        let result = |status| EventResult::new(event_id, status);
        let session = |run: &RunId| sessions.get(run).cloned();
        match decided {
            Decided::Accepted(run, session) => {
                EventResult { run_id: Some(run), session_id: Some(session), ..result(EventStatus::Accepted) }
            }
            Decided::Duplicate(run) => {
                EventResult { run_id: Some(run), session_id: session(&run), ..result(EventStatus::Duplicate) }
            }
            Decided::Rejected(reason, run) => EventResult {
                run_id: run,
                session_id: run.as_ref().and_then(session),
                reason: Some(reason),
                ..result(EventStatus::Rejected)
            },
            Decided::Limited(refused) => {
                let retry_after_ms = if let Refused::TooFast(wait_ms) = refused { Some(wait_ms) } else { None };
                EventResult { retry_after_ms, reason: Some(refused.to_string()), ..result(EventStatus::RateLimited) }
            }
            Decided::Refused(refused) => {
                EventResult { reason: Some(refused.to_string()), ..result(EventStatus::Error) }
            }
            Decided::Failed(_) => {
                let reason = "the store could not take it: send it again".to_owned();
                EventResult { reason: Some(reason), ..result(EventStatus::Error) }
            }
        }
    };
    Ok(decided.into_iter().map(one).collect())
}
