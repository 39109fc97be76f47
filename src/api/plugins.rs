//! `/v1/plugins`: what is in the plugin folder and how it fares.

use axum::{Json, extract::State};

use super::Api;
use crate::connectors::registry::PluginReport;

/// One entry for each file, and for each native kind.
pub async fn list(State(api): State<Api>) -> Json<Vec<PluginReport>> {
    Json(api.registry.plugins())
}
