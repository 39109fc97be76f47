//! What sidecars hear of their events.

use serde::Serialize;
use utoipa::ToSchema;

use super::decide::Decided;
use crate::{
    ingress::{accept::Refused, door},
    model::ids::{ConnectorId, RunId, SessionId},
    secrets::mask::mask,
    store::{Store, StoreError, runs},
    wire::problem::Problem,
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
    /// With `rate_limited` and `error`: whether it may be taken when it is sent again as it is. Where it may not, an operator
    /// has to change something first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retryable: Option<bool>,
    /// When to send it again, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u64>,
    /// With `error`: the status that it would have got alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 400, maximum = 599)]
    http_status: Option<u16>,
    /// With `error`: the code of the problem document that it would have got alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
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
    /// It was not taken; `retryable` says whether it may be another time. In batches only.
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
        let (session_id, run_id, reason) = (None, None, None);
        let (retryable, retry_after_ms, http_status, code) = (None, None, None, None);
        Self { event_id, status, session_id, run_id, reason, retryable, retry_after_ms, http_status, code }
    }

    /// What a single event hears as a problem document.
    fn error(event_id: Option<String>, problem: &Problem) -> Self {
        Self {
            reason: Some(mask(problem.detail()).into_owned()),
            retryable: Some(problem.may_pass()),
            retry_after_ms: problem.wait_ms(),
            http_status: Some(problem.status().as_u16()),
            code: Some(problem.code().to_owned()),
            ..Self::new(event_id, EventStatus::Error)
        }
    }
}

/// Puts into words what was decided about events of this connector. Of those that were accepted before, the original session is
/// looked up.
pub(super) async fn of(
    store: &Store,
    connector: &ConnectorId,
    decided: Vec<(Option<String>, Decided)>,
) -> Result<Vec<EventResult>, StoreError> {
    let former: Vec<RunId> = decided
        .iter()
        .filter_map(|(_, one)| match one {
            Decided::Duplicate(run) | Decided::Rejected(_, Some(run)) => Some(*run),
            _ => None,
        })
        .collect();
    let sessions = runs::sessions_of(store, &former).await?;
    let one = |(event_id, decided): (Option<String>, Decided)| {
        let result = |status| EventResult::new(event_id.clone(), status);
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
                let (reason, retryable) = (Some(refused.to_string()), Some(true));
                EventResult { retryable, retry_after_ms, reason, ..result(EventStatus::RateLimited) }
            }
            Decided::Refused(refused) => EventResult::error(event_id, &door::refused(connector, &refused)),
            Decided::Failed(error) => EventResult::error(event_id, &error.into()),
        }
    };
    Ok(decided.into_iter().map(one).collect())
}
