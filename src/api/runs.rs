//! `/v1/runs`: list, look at one, cancel it.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    page::{List, PageQuery},
};
use crate::{
    model::{
        ids::{RunId, SessionId},
        run::RunStatus,
    },
    queue::cancel::{Cancel, Cancelled},
    store::runs::{self, RunFilter},
    wire::{extract, problem::Problem, view::RunView},
};

/// What narrows the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those of this session.
    session_id: Option<String>,
    /// Only those that stand so.
    #[param(inline, value_type = Option<RunStatus>)]
    status: Option<String>,
    /// Oldest first (`asc`, when absent), or newest first.
    #[param(inline, value_type = Option<Order>)]
    order: Option<String>,
}

/// Which way a list goes.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// Runs in the order of their submission, or against it.
#[utoipa::path(
    get,
    path = "/v1/runs",
    operation_id = "list_runs",
    tag = "runs",
    params(ListQuery, PageQuery),
    responses(
        (status = 200, description = "The runs", body = List<RunView>),
        (status = 400, description = "invalid_limit, invalid_cursor, invalid_order, invalid_status, invalid_session_id"),
    )
)]
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<ListQuery>,
    extract::Query(page): extract::Query<PageQuery>,
) -> Result<Json<List<RunView>>, Problem> {
    let descending = match query.order.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            return Err(Problem::bad_request(
                "pagination",
                "invalid_order",
                format!("order is `{other}`; give asc or desc"),
            ));
        }
    };
    let paging = page.check()?;
    let session = query.session_id.as_deref().map(session_filter).transpose()?;
    let status = query.status.as_deref().map(status_filter).transpose()?;
    let filter = RunFilter { session, status, beyond: paging.after_id()?, descending };
    let found = runs::list(&api.store, &filter, paging.read()).await?;
    let mut items = Vec::with_capacity(found.len());
    for run in found {
        items.push((run.id.to_string(), RunView::load(&api.store, run).await?));
    }
    let order = if descending { "submitted_at_ms_desc,run_id_desc" } else { "submitted_at_ms_asc,run_id_asc" };
    paging.answer(items, runs::count(&api.store, &filter), order).await
}

/// One run.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}",
    operation_id = "get_run",
    tag = "runs",
    params(("id" = String, Path, description = "The run's id")),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 404, description = "run_not_found"),
    )
)]
pub async fn get(State(api): State<Api>, extract::Path(id): extract::Path<String>) -> Result<Json<RunView>, Problem> {
    let run = runs::get(&api.store, parse(&id)?).await?.ok_or_else(|| not_found(&id))?;
    Ok(Json(RunView::load(&api.store, run).await?))
}

/// Cancels a run: one that waits at once, one that a worker holds as soon as the worker knows or its lease is over.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/cancel",
    operation_id = "cancel_run",
    tag = "runs",
    params(("id" = String, Path, description = "The run's id")),
    responses(
        (status = 200, description = "The run, cancelled now or before", body = RunView),
        (status = 202, description = "The run; whoever performs it is told", body = RunView),
        (status = 404, description = "run_not_found"),
        (status = 409, description = "run_ended"),
    )
)]
pub async fn cancel(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let run = parse(&id)?;
    let mut cancelled = Cancelled::Moved;
    while cancelled == Cancelled::Moved {
        cancelled = api.store.write(Cancel { run, now_ms: api.clock.now_ms() }).await?;
    }
    let status = match cancelled {
        Cancelled::AtOnce | Cancelled::Ended(RunStatus::Cancelled) => StatusCode::OK,
        Cancelled::Asked | Cancelled::Moved => StatusCode::ACCEPTED,
        Cancelled::Ended(status) => {
            let status = if status == RunStatus::Failed { "failed" } else { "completed" };
            let detail = format!("`{id}` has {status} already: there is nothing left to cancel");
            return Err(Problem::conflict("runs", "run_ended", detail));
        }
        Cancelled::Missing => return Err(not_found(&id)),
    };
    let run = runs::get(&api.store, run).await?.ok_or_else(|| not_found(&id))?;
    Ok((status, Json(RunView::load(&api.store, run).await?)))
}

pub(super) fn parse(id: &str) -> Result<RunId, Problem> {
    id.parse().map_err(|_| not_found(id))
}

pub(super) fn not_found(id: &str) -> Problem {
    Problem::not_found("runs", "run_not_found", format!("there is no run `{id}`"))
}

pub(super) fn session_filter(id: &str) -> Result<SessionId, Problem> {
    SessionId::parse(id).map_err(|error| Problem::bad_request("sessions", "invalid_session_id", error.to_string()))
}

fn status_filter(name: &str) -> Result<RunStatus, Problem> {
    serde_json::from_value(name.into()).map_err(|_| {
        let known = "queued, running, completed, failed or cancelled";
        Problem::bad_request("runs", "invalid_status", format!("status is `{name}`; give {known}"))
    })
}
