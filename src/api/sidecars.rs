//! What sidecars and those who watch them ask for: files of deliveries (contract section 4.6), and metrics (section 4.8).

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, Method, header},
    response::{IntoResponse, Response},
};

use super::{Api, assets, metrics::FORMAT};
use crate::{
    delivery::targets,
    ingress::door,
    model::{
        artifact::{Artifact, ArtifactReference},
        delivery::DeliveryState,
        ids::{ConnectorId, DeliveryId},
    },
    store::deliveries::read::{self, StoredDelivery},
    wire::{extract, problem::Problem},
};

/// The kind whose connectors these are.
const KIND: &str = "external";

/// A file of a delivery, for the sidecar that it goes to.
///
/// The shared token is asked for, and the delivery has to be under way.
#[utoipa::path(
    get,
    path = "/v1/connectors/external/{name}/deliveries/{delivery_id}/assets/{asset_id}/raw",
    operation_id = "get_external_delivery_asset",
    tag = "ingress",
    params(
        ("name" = String, Path, description = "The connector's name"),
        ("delivery_id" = String, Path, description = "The delivery's id"),
        ("asset_id" = String, Path, description = "The asset's id"),
    ),
    responses(
        (status = 200, description = "The bytes, under the media type that their sender gave", content_type = "*/*"),
        (status = 206, description = "The range that was asked for", content_type = "*/*"),
        (status = 304, description = "They are as `If-None-Match` says"),
        (status = 401, description = "missing_token, malformed_token, invalid_token"),
        (status = 404, description = "connector_not_found, asset_not_found"),
        (status = 410, description = "asset_gone"),
        (status = 416, description = "range_not_satisfiable"),
    )
)]
pub async fn asset(
    State(api): State<Api>,
    extract::Path((name, delivery, asset)): extract::Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = ConnectorId { kind: KIND.to_owned(), name };
    let route = api.connectors.routes().find(&id).ok_or_else(|| {
        Problem::not_found(door::DOMAIN, "connector_not_found", format!("there is no connector `{id}`"))
    })?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    door::recognise(&route, (method.as_str(), target), &headers, api.clock.now_ms())?;
    let missing = || {
        let detail = format!("no delivery `{delivery}` of connector `{id}` is under way with a file `{asset}`");
        Problem::not_found(door::DOMAIN, "asset_not_found", detail)
    };
    let delivery: DeliveryId = delivery.parse().map_err(|_| missing())?;
    let stored = read::get(&api.store, delivery).await.map_err(Problem::from)?.ok_or_else(missing)?;
    let file = carried(&stored, &id, &asset).ok_or_else(missing)?;
    assets::serve(&api, file, &headers).await.map_err(|problem| problem.in_domain(door::DOMAIN))
}

/// The file as a delivery has it that is on its way to this connector.
fn carried(stored: &StoredDelivery, connector: &ConnectorId, asset: &str) -> Option<ArtifactReference> {
    let under_way = matches!(stored.state(), DeliveryState::Pending | DeliveryState::Retrying | DeliveryState::Sending);
    if !under_way || targets::refers_to(&stored.target).as_ref() != Some(connector) {
        return None;
    }
    let files: Vec<Artifact> = serde_json::from_str(&stored.artifacts).unwrap_or_default();
    let file = files.into_iter().find(|file| file.asset_id == asset)?;
    Some(ArtifactReference { asset_id: file.asset_id, name: Some(file.name), media_type: Some(file.media_type) })
}

/// What is counted for each sidecar, in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/v1/runtime/connectors/external/metrics",
    operation_id = "get_external_metrics",
    tag = "connectors",
    responses((status = 200, description = "Metrics in text format 0.0.4", content_type = "text/plain", body = String))
)]
pub async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let text = api.store.metrics().sidecars.scrape().map_err(|error| {
        tracing::error!(%error, "the metrics of sidecars could not be written: {error}");
        Problem::internal("api")
    })?;
    Ok(([(header::CONTENT_TYPE, FORMAT)], text).into_response())
}
