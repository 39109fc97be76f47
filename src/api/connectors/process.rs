//! What operators order of the program behind a connector that the daemon starts.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Api, DOMAIN, Which, not_found};
use crate::{
    model::ids::ConnectorId,
    wire::{extract, problem::Problem},
};

/// An order that was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OrderTaken)]
pub struct OrderView {
    accepted: bool,
}

/// Start the program of a connector anew.
///
/// It is asked to end, and started as its settings say now; also when it was started too often and stays down.
#[utoipa::path(
    post, path = "/v1/runtime/connectors/{kind}/{name}/restart", operation_id = "restart_connector", tag = "connectors",
    params(Which),
    responses(
        (status = 200, description = "It is on its way; the connector's status shows how far.", body = OrderView),
        (status = 400, description = "unknown_kind"),
        (status = 404, description = "connector_not_found"),
        (status = 409, description = "no_process"),
    ),
)]
pub async fn restart(
    State(api): State<Api>,
    extract::Path(which): extract::Path<Which>,
) -> Result<Json<OrderView>, Problem> {
    let id: ConnectorId = which.into();
    if api.connectors.get(&id).is_none() {
        return Err(not_found(&api, &id));
    }
    let route = api.connectors.routes().find(&id);
    if route.is_some_and(|route| route.plugin.restart(&id)) {
        return Ok(Json(OrderView { accepted: true }));
    }
    let detail = format!("the daemon starts no program for connector `{id}`");
    Err(Problem::conflict(DOMAIN, "no_process", detail))
}
