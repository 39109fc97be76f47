//! `/v1/sessions/{id}/reply-targets`: where outputs of a session go when neither event nor connector says.
//!
//! They are taken into a run when it is made: a change reaches later runs only, so no session has to be idle for it.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::{Api, sessions::not_found};
use crate::{
    delivery::targets,
    ingress::answer,
    model::{happening::session_updated, ids::SessionId, target::ReplyTarget, written::written_targets},
    store::{
        StoreError,
        session_targets::{self, SessionTargets},
        sessions::{self, Session},
        writer::{Command, Tx},
    },
    wire::{extract, problem::Problem, view::SessionView},
};

/// The most default targets of one session.
const MAX_TARGETS: usize = 64;

/// Default targets of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReplyTargets)]
pub struct TargetsView {
    reply_targets: Vec<ReplyTarget>,
    /// What was taken out of the list, and why; until the list is set again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    notice: Option<String>,
}

/// A new list.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewReplyTargets)]
pub struct TargetsBody {
    /// In order; the same target again is left out. At most 64.
    #[schema(schema_with = written_targets)]
    reply_targets: Vec<ReplyTarget>,
}

/// Where a session's outputs go by default.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/reply-targets", operation_id = "get_reply_targets", tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = 200, description = "The list.", body = TargetsView), (status = 404, description = "session_not_found")),
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<TargetsView>, Problem> {
    let session = find(&api, &id).await?;
    let SessionTargets { targets, notice } = session_targets::get(&api.store, &session.id).await?;
    Ok(Json(TargetsView { reply_targets: targets, notice }))
}

/// Set the list.
#[utoipa::path(
    put, path = "/v1/sessions/{id}/reply-targets", operation_id = "put_reply_targets", tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")), request_body = TargetsBody,
    responses(
        (status = 200, description = "The session.", body = SessionView),
        (status = 400, description = "reply_target_invalid, too_many_reply_targets"),
        (status = 404, description = "session_not_found"),
    ),
)]
pub async fn put(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<TargetsBody>,
) -> Result<Json<SessionView>, Problem> {
    replace(&api, &id, body).await
}

/// Set the list, as PUT does (contract section 1.8).
#[utoipa::path(
    post, path = "/v1/sessions/{id}/reply-targets", operation_id = "post_reply_targets", tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")), request_body = TargetsBody,
    responses(
        (status = 200, description = "The session.", body = SessionView),
        (status = 400, description = "reply_target_invalid, too_many_reply_targets"),
        (status = 404, description = "session_not_found"),
    ),
)]
pub async fn post(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<TargetsBody>,
) -> Result<Json<SessionView>, Problem> {
    replace(&api, &id, body).await
}

/// Empty the list.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}/reply-targets", operation_id = "delete_reply_targets", tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = 200, description = "The session.", body = SessionView), (status = 404, description = "session_not_found")),
)]
pub async fn delete(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<SessionView>, Problem> {
    replace(&api, &id, TargetsBody { reply_targets: Vec::new() }).await
}

async fn replace(api: &Api, id: &str, body: TargetsBody) -> Result<Json<SessionView>, Problem> {
    let session = find(api, id).await?;
    if body.reply_targets.len() > MAX_TARGETS {
        let detail = format!("a session has at most {MAX_TARGETS} default targets");
        return Err(Problem::bad_request("sessions", "too_many_reply_targets", detail));
    }
    let mut checked = Vec::with_capacity(body.reply_targets.len());
    for target in &body.reply_targets {
        checked.push(targets::check(target, &*api.connectors).await);
    }
    let targets = answer::targets_taken("sessions", checked)?;
    api.store.write(Set { session: session.id.clone(), targets, now_ms: api.clock.now_ms() }).await?;
    Ok(Json(SessionView::load(&api.store, vec![session]).await?.remove(0)))
}

async fn find(api: &Api, id: &str) -> Result<Session, Problem> {
    let parsed = SessionId::parse(id).map_err(|_| not_found(id))?;
    sessions::get(&api.store, &parsed).await?.ok_or_else(|| not_found(id))
}

struct Set {
    session: SessionId,
    targets: Vec<ReplyTarget>,
    now_ms: i64,
}

impl Command for Set {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for set in batch {
            let list = SessionTargets { targets: set.targets.clone(), notice: None };
            session_targets::set(tx, &set.session, &list, set.now_ms).await?;
            tx.record(session_updated(&set.session, "reply_targets_set"));
        }
        Ok(vec![(); batch.len()])
    }
}
