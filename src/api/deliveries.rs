//! `/v1/deliveries`: list and look at one. What is done about them is in the files beside this one.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

pub mod act;
pub mod backpressure;
pub mod bulk;
pub mod send;

use super::{
    Api,
    page::{List, PageQuery, Paging},
    runs::{parse, session_filter},
};
use crate::{
    model::{delivery::DeliveryState, ids::DeliveryId},
    store::deliveries::read::{self, DeliveryFilter, StoredDelivery},
    wire::{
        delivery_view::{DeliveryDetailView, DeliveryView},
        extract,
        problem::Problem,
    },
};

/// The domain of problems here.
const DOMAIN: &str = "deliveries";

/// What narrows the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those of this session.
    session_id: Option<String>,
    /// Only those of this run.
    run_id: Option<String>,
    /// Only those to targets of this plugin.
    plugin: Option<String>,
    /// Only those that stand so.
    #[param(inline, value_type = Option<DeliveryState>)]
    status: Option<String>,
}

impl ListQuery {
    fn filter(self, paging: &Paging) -> Result<DeliveryFilter, Problem> {
        Ok(DeliveryFilter {
            run: self.run_id.as_deref().map(parse).transpose()?,
            session: self.session_id.as_deref().map(session_filter).transpose()?,
            state: self.status.as_deref().map(status_filter).transpose()?,
            plugin: self.plugin,
            after: paging.after_id()?,
            ..DeliveryFilter::default()
        })
    }
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
    let filter = query.filter(&paging)?;
    answer(&api, &filter, &paging).await
}

/// Deliveries that were given up.
#[utoipa::path(
    get,
    path = "/v1/deliveries/dead-letter",
    operation_id = "list_dead_letters",
    tag = "deliveries",
    params(ListQuery, PageQuery),
    responses(
        (status = 200, description = "The dead letters; none where `status` asks for others", body = List<DeliveryView>),
        (status = 400, description = "invalid_limit, invalid_cursor, invalid_status, invalid_session_id"),
        (status = 404, description = "run_not_found"),
    )
)]
pub async fn dead_letters(
    State(api): State<Api>,
    extract::Query(query): extract::Query<ListQuery>,
    extract::Query(page): extract::Query<PageQuery>,
) -> Result<Json<List<DeliveryView>>, Problem> {
    let paging = page.check()?;
    let mut filter = query.filter(&paging)?;
    if filter.state.is_some_and(|state| state != DeliveryState::DeadLettered) {
        return paging.answer(Vec::new(), async { Ok(0) }, ORDER).await;
    }
    filter.state = Some(DeliveryState::DeadLettered);
    answer(&api, &filter, &paging).await
}

const ORDER: &str = "delivery_id_asc";

async fn answer(api: &Api, filter: &DeliveryFilter, paging: &Paging) -> Result<Json<List<DeliveryView>>, Problem> {
    let found = read::list(&api.store, filter, paging.read()).await?;
    let items = found.iter().map(|delivery| (delivery.id.to_string(), DeliveryView::from(delivery))).collect();
    paging.answer(items, read::count(&api.store, filter), ORDER).await
}

/// One delivery, with its content, its parts and its failed attempts.
#[utoipa::path(
    get,
    path = "/v1/deliveries/{id}",
    operation_id = "get_delivery",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryDetailView),
        (status = 404, description = "delivery_not_found"),
    )
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryDetailView>, Problem> {
    let delivery = load(&api, identify(&id)?).await?;
    Ok(Json(DeliveryDetailView::load(&api.store, delivery).await?))
}

async fn load(api: &Api, id: DeliveryId) -> Result<StoredDelivery, Problem> {
    read::get(&api.store, id).await?.ok_or_else(|| not_found(&id.to_string()))
}

fn identify(id: &str) -> Result<DeliveryId, Problem> {
    id.parse().map_err(|_| not_found(id))
}

fn not_found(id: &str) -> Problem {
    Problem::not_found(DOMAIN, "delivery_not_found", format!("there is no delivery `{id}`"))
}

fn status_filter(name: &str) -> Result<DeliveryState, Problem> {
    serde_json::from_value(name.into()).map_err(|_| {
        let known = "pending, retrying, sending, delivered, unknown, dead_lettered or cancelled";
        Problem::bad_request(DOMAIN, "invalid_status", format!("status is `{name}`; give {known}"))
    })
}
