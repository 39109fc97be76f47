//! What operators order of the program behind a connector that the daemon starts.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Api, DOMAIN, not_found};
use crate::{
    connectors::{Obeyed, Order},
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
    params(("kind" = String, Path, description = "Its kind."), ("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "It is on its way; the connector's status shows how far.", body = OrderView),
        (status = 400, description = "unknown_kind"),
        (status = 404, description = "connector_not_found"),
        (status = 409, description = "no_process, runs_elsewhere"),
    ),
)]
pub async fn restart(
    State(api): State<Api>,
    extract::Path((kind, name)): extract::Path<(String, String)>,
) -> Result<Json<OrderView>, Problem> {
    order(&api, &ConnectorId { kind, name }, Order::Restart)
}

/// Let the program of a connector fetch no credentials any more.
///
/// It goes on running, and gets a new grant when it is started anew. The secrets themselves stay as they are.
#[utoipa::path(
    post, path = "/v1/runtime/connectors/{kind}/{name}/credentials/revoke", operation_id = "revoke_connector_credentials",
    tag = "connectors",
    params(("kind" = String, Path, description = "Its kind."), ("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "Its token is good for nothing any more.", body = OrderView),
        (status = 400, description = "unknown_kind"),
        (status = 404, description = "connector_not_found"),
        (status = 409, description = "no_process, runs_elsewhere"),
    ),
)]
pub async fn revoke_credentials(
    State(api): State<Api>,
    extract::Path((kind, name)): extract::Path<(String, String)>,
) -> Result<Json<OrderView>, Problem> {
    order(&api, &ConnectorId { kind, name }, Order::Revoke)
}

fn order(api: &Api, id: &ConnectorId, order: Order) -> Result<Json<OrderView>, Problem> {
    if api.connectors.get(id).is_none() {
        return Err(not_found(api, id));
    }
    let route = api.connectors.routes().find(id);
    let obeyed = route.map_or(Obeyed::NoProgram, |route| route.plugin.obey(id, order));
    let (code, detail) = match obeyed {
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
