//! `/v1/plugins`: what is in the plugin folder and how it fares.

use axum::{Json, extract::State};

use super::Api;
use crate::connectors::kinds::PluginReport;

/// What is in the plugin folder.
///
/// One entry for each file, and for each native kind.
#[utoipa::path(
    get,
    path = "/v1/plugins",
    operation_id = "list_plugins",
    tag = "plugins",
    responses((status = 200, description = "The plugins, in the order of their file names", body = Vec<PluginReport>))
)]
pub async fn list(State(api): State<Api>) -> Json<Vec<PluginReport>> {
    Json(api.connectors.kinds().plugins())
}
