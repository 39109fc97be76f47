//! Extractors whose refusals are problem documents.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;

use super::{
    body,
    problem::{FieldError, Problem},
};

/// A JSON body; `Content-Type: application/json` is demanded, so that no other site's page can post here. What does not
/// fit is told with its place, see [`body::read`].
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send the body with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "api", "unsupported_media_type", detail));
        }
        let bytes = Bytes::from_request(request, state).await?;
        // Every body is an object; serde alone would also take a list of its members in their order.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            let (pointer, detail) = (String::new(), "expected an object, not a list".to_owned());
            let refused = Problem::bad_request("api", "invalid_payload", detail.clone());
            return Err(refused.with_errors(vec![FieldError { pointer, detail }]));
        }
        body::read(&bytes).map(Self)
    }
}

/// `application/json`, or another type that is written in JSON; parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(sent) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// A query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// The parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);
