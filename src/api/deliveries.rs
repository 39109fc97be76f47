//! `/v1/deliveries`: list and look at one.

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;

use super::{
    Api,
    page::PageQuery,
    runs::{parse, session_filter},
};
use crate::{
    model::{delivery::DeliveryStatus, ids::DeliveryId},
    store::deliveries::{self, DeliveryFilter},
    wire::{extract, problem::Problem, view::DeliveryView},
};

/// What narrows the list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    session_id: Option<String>,
    run_id: Option<String>,
    status: Option<String>,
    limit: Option<i64>,
    page: Option<bool>,
    cursor: Option<String>,
}

/// Deliveries in the order in which they were made.
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<ListQuery>,
) -> Result<Response, Problem> {
    let paging = PageQuery::new(query.limit, query.page, query.cursor).check()?;
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
