//! Breakers and pauses, lifted by hand.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DOMAIN;
use crate::{
    api::{Api, auth::change::Touched},
    delivery::{
        operate::reset::Reset,
        pause::{self, Cause},
    },
    wire::{extract, problem::Problem},
};

/// What stands between plugin and digest in a target as it is shown.
const DIGEST: &str = ":address_sha256:";

/// Which targets.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackpressureSelection)]
pub struct ResetBody {
    /// A target as deliveries show it. This, `plugin` or `connector` is given.
    target: Option<String>,
    /// Everything of this plugin, pauses of its connectors included.
    plugin: Option<String>,
    /// Everything of this connector, `kind/name`, its pause included.
    connector: Option<String>,
    /// Looks and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What was found, and lifted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackpressureReset)]
pub struct ResetView {
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connector: Option<String>,
    matched: usize,
    removed: usize,
    /// Targets whose breaker was open.
    targets: Vec<String>,
    /// Connectors that were paused.
    connectors: Vec<String>,
}

/// Close open breakers and lift pauses: what waits is sent now.
#[utoipa::path(
    post, path = "/v1/deliveries/backpressure/reset", operation_id = "reset_backpressure", tag = "deliveries",
    request_body = ResetBody,
    responses(
        (status = 200, description = "What was found, and lifted unless it was a dry run", body = ResetView),
        (status = 400, description = "delivery_backpressure_selector_required, invalid_target, invalid_connector_id"),
    ),
)]
pub async fn reset(
    State(api): State<Api>,
    extract::Json(body): extract::Json<ResetBody>,
) -> Result<(Extension<Touched>, Json<ResetView>), Problem> {
    if body.target.is_none() && body.plugin.is_none() && body.connector.is_none() {
        let detail = "give a target, a plugin or a connector";
        return Err(Problem::bad_request(DOMAIN, "delivery_backpressure_selector_required", detail));
    }
    let lane = body.target.as_deref().map(lane).transpose()?;
    if body.connector.as_ref().is_some_and(|connector| !connector.contains('/')) {
        let detail = "connector is a kind, a slash and a name";
        return Err(Problem::bad_request(DOMAIN, "invalid_connector_id", detail));
    }
    let ResetBody { target, plugin, connector, dry_run } = body;
    let now_ms = api.clock.now_ms();
    let command = Reset { lane, plugin: plugin.clone(), connector: connector.clone(), dry_run, now_ms };
    let found = api.store.write(command).await?;
    let matched = found.lanes.len() + found.connectors.len();
    let targets: Vec<String> = found.lanes.iter().map(|lane| lane.replacen(':', DIGEST, 1)).collect();
    let touched = if dry_run { Vec::new() } else { [targets.clone(), found.connectors.clone()].concat() };
    let removed = if dry_run { 0 } else { matched };
    if !dry_run {
        found.connectors.iter().for_each(|lifted| pause::log_ended(lifted, Cause::Operator));
    }
    let view =
        ResetView { dry_run, target, plugin, connector, matched, removed, targets, connectors: found.connectors };
    Ok((Extension(Touched(touched)), Json(view)))
}

/// The lane of a target as it is shown: both name the address by the same digest.
fn lane(target: &str) -> Result<String, Problem> {
    match target.split_once(DIGEST) {
        Some((plugin, digest)) if !plugin.is_empty() && digest.len() == 16 => Ok(format!("{plugin}:{digest}")),
        _ => {
            let detail = format!("target is a plugin, `{DIGEST}` and 16 hexadecimal digits, as deliveries show it");
            Err(Problem::bad_request(DOMAIN, "invalid_target", detail))
        }
    }
}
