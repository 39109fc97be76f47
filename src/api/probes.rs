//! Probes: is it alive, does it take work.

use axum::extract::State;

use super::{Api, drain::draining};
use crate::wire::problem::Problem;

/// 200 as long as the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "probes",
    responses((status = 200, description = "It is alive", body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 while the daemon takes work, 503 while it drains.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "probes",
    responses(
        (status = 200, description = "It takes work", body = String, content_type = "text/plain"),
        (status = 503, description = "daemon_draining"),
    )
)]
pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.phase.is_draining() {
        return Err(draining());
    }
    Ok("ready\n")
}
