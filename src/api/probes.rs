//! Probes: is it alive, does it take work.

use axum::extract::State;

use super::Api;
use crate::wire::problem::Problem;

/// 200 as long as the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 while the daemon takes work, 503 while it drains.
pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.phase.is_draining() {
        return Err(Problem::unavailable("api", "daemon_draining", "the daemon is stopping"));
    }
    Ok("ready\n")
}
