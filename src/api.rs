//! The operator's and the workers' HTTP API: paths only. Connector ingress has routes of its own, in
//! [`crate::ingress::http`].

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::{
    clock::Clock, connectors::registry::Registry, executor::ExecutorKind, ingress::routes::Routes, lifecycle::Phase,
    queue::QueueSettings, store::Store, wire::problem,
};

pub mod assets;
pub mod deliveries;
pub mod guard;
pub mod page;
pub mod plugins;
pub mod probes;
pub mod runs;
pub mod sessions;
pub mod status;
pub mod submit;
pub mod work;

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// Rows.
    pub store: Store,
    /// Time and ids.
    pub clock: Clock,
    /// Kinds and plugin files.
    pub registry: Arc<Registry>,
    /// Configured connectors.
    pub routes: Arc<Routes>,
    /// Whether the daemon is stopping.
    pub phase: Phase,
    /// How runs are leased.
    pub queue: QueueSettings,
    /// Who performs runs.
    pub executor: ExecutorKind,
    /// When the daemon started, in milliseconds since 1970.
    pub started_ms: i64,
    /// How guest memory is allocated, for the status.
    pub allocation: String,
}

/// Every route of the API.
pub fn router(api: Api, guard: guard::Guard) -> Router {
    let control = Router::new()
        .route("/v1/status", get(status::get))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/sessions", get(sessions::list).post(sessions::create))
        .route("/v1/sessions/{id}", get(sessions::get))
        .route("/v1/sessions/{id}/runs", post(submit::submit))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/claim", post(work::claim))
        .route("/v1/runs/{id}", get(runs::get))
        .route("/v1/runs/{id}/heartbeat", post(work::heartbeat))
        .route("/v1/runs/{id}/outputs", post(work::outputs))
        .route("/v1/runs/{id}/finish", post(work::finish))
        .route("/v1/runs/{id}/fail", post(work::fail))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::get))
        .route("/v1/assets/{id}/raw", get(assets::raw))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(guard, guard::check));
    Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .merge(control)
        .with_state(api)
}
