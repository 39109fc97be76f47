//! `/v1/deliveries`: list and look at one.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Api,
    page::{List, PageQuery},
    runs::{parse, session_filter},
};
use crate::{
    model::{delivery::DeliveryStatus, ids::DeliveryId},
    store::deliveries::{self, DeliveryFilter},
    wire::{extract, problem::Problem, view::DeliveryView},
};

/// What narrows the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those of this session.
    session_id: Option<String>,
    /// Only those of this run.
    run_id: Option<String>,
    /// Only those that stand so.
    #[param(inline, value_type = Option<DeliveryStatus>)]
    status: Option<String>,
}

/// Deliveries in the order in which they were made.
#[utoipa::path(
    get,
    path = "/v1/deliveries",
    operation_id = "list_deliveries",
    tag = "deliveries",
    params(ListQuery, PageQuery),
    responses(
        (status = 200, description = "The deliveries", body = List<DeliveryView>),
        (status = 400, description = "invalid_limit, invalid_cursor, invalid_status, invalid_session_id"),
        (status = 404, description = "run_not_found"),
    )
)]
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<ListQuery>,
    extract::Query(page): extract::Query<PageQuery>,
) -> Result<Json<List<DeliveryView>>, Problem> {
    let paging = page.check()?;
    let filter = DeliveryFilter {
        run: query.run_id.as_deref().map(parse).transpose()?,
        session: query.session_id.as_deref().map(session_filter).transpose()?,
        status: query.status.as_deref().map(status_filter).transpose()?,
        after: paging.after_id()?,
    };
    let found = deliveries::list(&api.store, &filter, paging.read()).await?;
    let items = found.into_iter().map(|delivery| (delivery.id.to_string(), DeliveryView::from(delivery))).collect();
    paging.answer(items, deliveries::count(&api.store, &filter), "delivery_id_asc").await
}

/// One delivery.
#[utoipa::path(
    get,
    path = "/v1/deliveries/{id}",
    operation_id = "get_delivery",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 404, description = "delivery_not_found"),
    )
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryView>, Problem> {
    let missing = || Problem::not_found("deliveries", "delivery_not_found", format!("there is no delivery `{id}`"));
    let parsed: DeliveryId = id.parse().map_err(|_| missing())?;
    let delivery = deliveries::get(&api.store, parsed).await?.ok_or_else(missing)?;
    Ok(Json(delivery.into()))
}

fn status_filter(name: &str) -> Result<DeliveryStatus, Problem> {
    serde_json::from_value(name.into()).map_err(|_| {
        let known = "pending, sending, delivered, unknown, dead_lettered or cancelled";
        Problem::bad_request("deliveries", "invalid_status", format!("status is `{name}`; give {known}"))
    })
}
