//! A daemon that stops takes no more work, and still serves those on whom work under way rests.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{ingress::door::DOMAIN, lifecycle::Phase, wire::problem::Problem};

/// Where events come in.
const INGRESS: &str = "/v1/connectors/";

/// Where those of sidecars do: what a platform gave to them is better durable here than lost with them.
const SIDECARS: &str = "/v1/connectors/external/";

/// While the daemon drains: answers who only reads (files and credentials among it) and sidecars, and sends others away.
pub async fn check(State(phase): State<Phase>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let served = matches!(*request.method(), Method::GET | Method::HEAD) || path.starts_with(SIDECARS);
    if phase.is_draining() && !served {
        let problem = draining();
        let problem = if path.starts_with(INGRESS) { problem.in_domain(DOMAIN) } else { problem };
        return problem.into_response();
    }
    next.run(request).await
}

/// What it says of that.
pub fn draining() -> Problem {
    Problem::unavailable("api", "daemon_draining", "the daemon is stopping")
}
