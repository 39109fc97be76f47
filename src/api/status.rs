//! `/v1/status`: the daemon at a glance.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::Api;
use crate::{
    store::{deliveries, runs, sessions},
    wire::problem::Problem,
};

/// Counts and settings that an operator looks at first.
pub async fn get(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let now = api.clock.now_ms();
    let mut run_counts = Map::new();
    for (status, count) in runs::tally(&api.store).await? {
        run_counts.insert(name(status), count.into());
    }
    let mut delivery_counts = Map::new();
    for (status, count) in deliveries::tally(&api.store).await? {
        delivery_counts.insert(name(status), count.into());
    }
    Ok(Json(json!({
        "status": if api.phase.is_draining() { "draining" } else { "ready" },
        "ready": !api.phase.is_draining(),
        "version": env!("CARGO_PKG_VERSION"),
        "process_id": std::process::id(),
        "snapshot_at_ms": now,
        "started_at_ms": api.started_ms,
        "uptime_ms": now - api.started_ms,
        "executor": api.executor,
        "guests": { "allocation": api.allocation, "plugins": api.registry.plugins() },
        "connectors": api.routes.views(),
        "sessions": { "total": sessions::count(&api.store).await? },
        "runs": run_counts,
        "deliveries": delivery_counts,
    })))
}

fn name(status: impl serde::Serialize) -> String {
    match serde_json::to_value(status) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}
