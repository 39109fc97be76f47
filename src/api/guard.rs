//! Who may use the control plane: everybody on a loopback listener without a token, otherwise holders of the token.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{secrets::Secret, wire::problem::Problem};

/// The rule for control-plane requests.
#[derive(Clone)]
pub struct Guard {
    token: Option<Arc<Secret>>,
}

impl Guard {
    /// With a token every request must carry it; without one every request passes, so the listener must be loopback.
    pub fn new(token: Option<Secret>) -> Self {
        Self { token: token.map(Arc::new) }
    }
}

/// The middleware.
pub async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(token) = &guard.token else { return Ok(next.run(request).await) };
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Err(denied("missing_token", "send `Authorization: Bearer <admin token>`"));
    };
    let Some(sent) = bearer(header) else {
        return Err(denied("malformed_token", "the Authorization header is not of the form `Bearer <token>`"));
    };
    // Digests are compared, so that neither content nor length shows in the time it takes.
    if bool::from(Sha256::digest(sent).ct_eq(&Sha256::digest(token.expose()))) {
        Ok(next.run(request).await)
    } else {
        Err(denied("invalid_token", "the token is not this daemon's admin token"))
    }
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn denied(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "auth", code, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kheish-daemon\""))
}
