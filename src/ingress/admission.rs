//! Reading a body within bounds: size and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::wire::problem::Problem;

/// Bounds of one request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Its size, in bytes.
    pub bytes: usize,
    /// How long it may take to arrive.
    pub time: Duration,
}

/// Reads the whole body. A declared length beyond the limit is refused before anything is read.
pub async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits, domain: &'static str) -> Result<Bytes, Problem> {
    let too_large = || {
        tracing::info!(limit = limits.bytes, "a body was larger than server.body_limit_bytes");
        let detail = format!("the body is larger than {} bytes: send less", limits.bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, domain, "payload_too_large", detail)
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limits.bytes) {
        return Err(too_large());
    }
    match tokio::time::timeout(limits.time, Limited::new(body, limits.bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let detail = format!("the body broke off: {error}");
            Err(Problem::bad_request(domain, "incomplete_body", detail))
        }
        Err(_) => {
            let detail = format!("the body took longer than {} ms to arrive", limits.time.as_millis());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, domain, "request_timeout", detail))
        }
    }
}
