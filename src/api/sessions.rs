//! `/v1/sessions`: list, make, look at one.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Api,
    page::{List, PageQuery},
};
use crate::{
    model::ids::SessionId,
    store::{
        StoreError, sessions,
        writer::{Command, Tx},
    },
    wire::{extract, problem::Problem, view::SessionView},
};

/// Sessions in the order of their ids.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "list_sessions",
    tag = "sessions",
    params(PageQuery),
    responses(
        (status = 200, description = "The sessions", body = List<SessionView>),
        (status = 400, description = "invalid_limit, invalid_cursor"),
    )
)]
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<PageQuery>,
) -> Result<Json<List<SessionView>>, Problem> {
    let paging = query.check()?;
    let found = sessions::list(&api.store, paging.after.as_deref(), paging.read()).await?;
    let ids: Vec<String> = found.iter().map(|session| session.id.as_str().to_owned()).collect();
    let items = ids.into_iter().zip(SessionView::load(&api.store, found).await?).collect();
    paging.answer(items, sessions::count(&api.store), "session_id_asc").await
}

/// One session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    operation_id = "get_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = SessionView),
        (status = 404, description = "session_not_found"),
    )
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let missing = || not_found(&id);
    let parsed = SessionId::parse(&id).map_err(|_| missing())?;
    let session = sessions::get(&api.store, &parsed).await?.ok_or_else(missing)?;
    Ok(Json(SessionView::load(&api.store, vec![session]).await?.remove(0)))
}

/// What makes a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Its id; one is made when absent.
    #[schema(min_length = 1, max_length = 256)]
    session_id: Option<String>,
    /// Who performs its runs, for as long as it is there; the default executor when absent.
    executor: Option<String>,
}

/// Makes a session; an existing id is reused.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    operation_id = "create_session",
    tag = "sessions",
    request_body = NewSession,
    responses(
        (status = 201, description = "The session, new or as it was", body = SessionView),
        (status = 400, description = "invalid_session_id, executor_unknown"),
        (status = 409, description = "session_executor_fixed"),
    )
)]
pub async fn create(
    State(api): State<Api>,
    extract::Json(new): extract::Json<NewSession>,
) -> Result<(StatusCode, Json<SessionView>), Problem> {
    let id = match new.session_id {
        Some(id) => SessionId::parse(&id),
        None => SessionId::parse(&format!("session:{}", api.clock.instance_id())),
    };
    let id = id.map_err(|error| Problem::bad_request("sessions", "invalid_session_id", error.to_string()))?;
    if let Some(Err(unknown)) = new.executor.as_deref().map(|name| api.executors.check(name)) {
        return Err(Problem::bad_request("sessions", "executor_unknown", unknown));
    }
    let executor = new.executor.clone().unwrap_or_default();
    api.store.write(Create { id: id.clone(), executor, now_ms: api.clock.now_ms() }).await?;
    let session = sessions::get(&api.store, &id).await?.ok_or(StoreError::Damaged("a new session is not there"))?;
    let has = api.store.executor_name(session.executor.clone());
    if let Some(asked) = new.executor.filter(|asked| *asked != has) {
        let detail = format!(
            "session `{id}` is there, and its runs are performed by `{has}`, not by `{asked}`: make another session"
        );
        return Err(Problem::conflict("sessions", "session_executor_fixed", detail));
    }
    Ok((StatusCode::CREATED, Json(SessionView::load(&api.store, vec![session]).await?.remove(0))))
}

pub(super) fn not_found(id: &str) -> Problem {
    Problem::not_found("sessions", "session_not_found", format!("there is no session `{id}`"))
}

struct Create {
    id: SessionId,
    executor: String,
    now_ms: i64,
}

impl Command for Create {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for create in batch {
            sessions::insert_idle(tx, &create.id, &create.executor, create.now_ms).await?;
        }
        Ok(vec![(); batch.len()])
    }
}
