//! `/v1/status`: the daemon at a glance.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use crate::{
    connectors::kinds::PluginReport,
    executor::health::{Fares, Trouble},
    model::roster::ExecutorKind,
    registry::{view::Glance, watch::FileReport},
    store::{
        sessions,
        tallies::{self, Tallies},
    },
    wire::problem::Problem,
};

/// The daemon at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status)]
pub struct StatusView {
    status: Readiness,
    /// Whether it takes work.
    ready: bool,
    version: &'static str,
    process_id: u32,
    snapshot_at_ms: i64,
    started_at_ms: i64,
    uptime_ms: i64,
    /// The name of the default executor.
    executor: String,
    executors: Vec<ExecutorView>,
    guests: GuestsView,
    connectors: Vec<Glance>,
    /// How the connectors file fares; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connectors_file: Option<FileReport>,
    /// When sessions, runs, deliveries and waiting sessions were counted: now, but for stores so large that it takes long.
    counted_at_ms: i64,
    sessions: Total,
    /// How many there are, by status.
    runs: BTreeMap<String, i64>,
    /// How many there are, by status.
    deliveries: BTreeMap<String, i64>,
}

/// Whether the daemon takes work.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is stopping.
    Draining,
}

/// Somebody who performs runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Executor)]
pub struct ExecutorView {
    name: String,
    /// Absent when sessions name it and it is not configured any more: their runs wait until it is back.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kind: Option<ExecutorKind>,
    /// Sessions with a run that waits.
    waiting_sessions: i64,
    /// Why it has no answers; absent while it has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    trouble: Option<Trouble>,
    /// When a worker last asked for runs of it, since the daemon's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    asked_at_ms: Option<i64>,
}

/// The sandbox and what runs in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Guests)]
pub struct GuestsView {
    /// How guest memory is allocated.
    allocation: String,
    plugins: Vec<PluginReport>,
}

/// How many there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Total {
    total: i64,
}

/// Counts and settings that an operator looks at first.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "get_status",
    tag = "status",
    responses((status = 200, description = "The daemon as it stands", body = StatusView))
)]
pub async fn get(State(api): State<Api>) -> Result<Json<StatusView>, Problem> {
    let now = api.clock.now_ms();
    let paused = api.connectors.pauses().await?;
    let draining = api.phase.is_draining();
    let counted = tallies::read(&api.store).await?;
    let Tallies { runs, deliveries, sessions, waiting } = &counted.value;
    let age_ms = i64::try_from(counted.age().as_millis()).unwrap_or(i64::MAX);
    Ok(Json(StatusView {
        status: if draining { Readiness::Draining } else { Readiness::Ready },
        ready: !draining,
        version: env!("CARGO_PKG_VERSION"),
        process_id: std::process::id(),
        snapshot_at_ms: now,
        started_at_ms: api.started_ms,
        uptime_ms: now - api.started_ms,
        executor: api.executors.default_name().to_owned(),
        executors: executors(&api, waiting).await?,
        guests: GuestsView { allocation: api.allocation.clone(), plugins: api.connectors.kinds().plugins() },
        connectors: api.connectors.all().iter().map(|entry| api.connectors.glance(entry, &paused)).collect(),
        connectors_file: api.connectors.file().map(|report| FileReport::clone(&report)),
        counted_at_ms: now.saturating_sub(age_ms),
        sessions: Total { total: *sessions },
        runs: runs.iter().map(|(status, count)| (name(status), *count)).collect(),
        deliveries: deliveries.iter().map(|(status, count)| (name(status), *count)).collect(),
    }))
}

/// Those that are configured, and those that sessions still name.
async fn executors(api: &Api, waiting: &[(String, i64)]) -> Result<Vec<ExecutorView>, Problem> {
    let mut found: BTreeMap<String, (Option<ExecutorKind>, i64)> =
        api.executors.all().map(|(name, kind)| (name.to_owned(), (Some(kind), 0))).collect();
    for name in sessions::named_executors(&api.store).await? {
        found.entry(name).or_default();
    }
    for (name, count) in waiting {
        found.entry(api.store.executor_name(name.clone())).or_default().1 += count;
    }
    let view = |(name, (kind, waiting_sessions)): (String, _)| {
        let Fares { trouble, asked_at_ms } = api.health.of(&name);
        ExecutorView { name, kind, waiting_sessions, trouble, asked_at_ms }
    };
    Ok(found.into_iter().map(view).collect())
}

fn name(status: impl Serialize) -> String {
    match serde_json::to_value(status) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}
