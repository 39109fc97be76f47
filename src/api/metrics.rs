//! `/metrics`: what the daemon counts and measures, for Prometheus.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::Api;
use crate::{store::backlog, wire::problem::Problem};

/// The exposition format that is spoken.
pub(super) const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters, histograms and gauges, in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "status",
    responses((status = 200, description = "Metrics in text format 0.0.4", content_type = "text/plain", body = String))
)]
pub async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    let backlog = backlog::read(&api.store).await?;
    let sizes = backlog::sizes(&api.store);
    let text = api.store.metrics().scrape(&backlog, &sizes, api.started_ms, api.clock.now_ms()).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written: {error}");
        Problem::internal("api")
    })?;
    Ok(([(header::CONTENT_TYPE, FORMAT)], text).into_response())
}
