//! What operators order of the program behind a connector that the daemon starts.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Api, DOMAIN, Which, not_found};
use crate::{
    connectors::Obeyed,
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
        (status = 409, description = "no_process, runs_elsewhere"),
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
    let (code, detail) = match route.map_or(Obeyed::NoProgram, |route| route.plugin.restart(&id)) {
        Obeyed::Yes => return Ok(Json(OrderView { accepted: true })),
        Obeyed::NoProgram => ("no_process", format!("the daemon starts no program for connector `{id}`")),
        Obeyed::RunsElsewhere => {
            let detail =
                format!("another daemon on the same store runs the program of `{id}`: give the order to that one");
            ("runs_elsewhere", detail)
        }
    };
    Err(Problem::conflict(DOMAIN, code, detail))
}
