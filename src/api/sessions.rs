//! `/v1/sessions`: list, make, look at one.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{Api, page::PageQuery};
use crate::{
    model::ids::SessionId,
    store::{
        StoreError, sessions,
        writer::{Command, Tx},
    },
    wire::{extract, problem::Problem, view::SessionView},
};

/// Sessions in the order of their ids.
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<PageQuery>,
) -> Result<Response, Problem> {
    let paging = query.check()?;
    let found = sessions::list(&api.store, paging.after.as_deref(), paging.read()).await?;
    let items = found.into_iter().map(|session| (session.id.as_str().to_owned(), SessionView::from(session))).collect();
    paging.answer(items, sessions::count(&api.store), "session_id_asc").await
}

/// One session.
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let missing = || not_found(&id);
    let parsed = SessionId::parse(&id).map_err(|_| missing())?;
    let session = sessions::get(&api.store, &parsed).await?.ok_or_else(missing)?;
    Ok(Json(session.into()))
}

/// What makes a session.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    session_id: Option<String>,
}

/// Makes a session; an existing id is reused (contract section 1.8).
pub async fn create(
    State(api): State<Api>,
    extract::Json(new): extract::Json<NewSession>,
) -> Result<(StatusCode, Json<SessionView>), Problem> {
    let id = match new.session_id {
        Some(id) => SessionId::parse(&id),
        None => SessionId::parse(&format!("session:{}", api.clock.instance_id())),
    };
    let id = id.map_err(|error| Problem::bad_request("sessions", "invalid_session_id", error.to_string()))?;
    api.store.write(Create { id: id.clone(), now_ms: api.clock.now_ms() }).await?;
    let session = sessions::get(&api.store, &id).await?.ok_or(StoreError::Damaged("a new session is not there"))?;
    Ok((StatusCode::CREATED, Json(session.into())))
}

pub(super) fn not_found(id: &str) -> Problem {
    Problem::not_found("sessions", "session_not_found", format!("there is no session `{id}`"))
}

struct Create {
    id: SessionId,
    now_ms: i64,
}

impl Command for Create {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for create in batch {
            sessions::insert_idle(tx, &create.id, create.now_ms).await?;
        }
        Ok(vec![(); batch.len()])
    }
}
