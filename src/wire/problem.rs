//! The one shape of an error: `application/problem+json` (RFC 9457, contract section 1.2).

use axum::{
    Json,
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{secrets::mask::mask, store::StoreError};

/// A problem document and the headers that go with it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    domain: &'static str,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one member of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The member, as a JSON pointer (RFC 6901); empty for the body itself.
    pub pointer: String,
    /// What is wrong with it, and what to do.
    pub detail: String,
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// `urn:kheish:problem:` and the code.
    r#type: String,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, to what, and what to do.
    detail: String,
    /// Stable, for programs.
    code: String,
    /// Which part of the daemon answers.
    domain: &'static str,
    /// One entry for each member of the body that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem with a stable code and a sentence that says what to change.
    pub fn new(status: StatusCode, domain: &'static str, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), domain, errors: Vec::new(), headers: Vec::new() }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What happened, to what, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When to come back, where it says so; in milliseconds.
    pub fn wait_ms(&self) -> Option<u64> {
        let (_, seconds) = self.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER)?;
        seconds.to_str().ok()?.parse::<u64>().ok()?.checked_mul(1000)
    }

    /// Whether the same request may be taken when it is sent again.
    pub fn may_pass(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The same problem as that part of the daemon's which answers.
    #[must_use]
    pub fn in_domain(self, domain: &'static str) -> Self {
        Self { domain, ..self }
    }

    /// The same problem with an entry for each member of the body that is wrong.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// What is wrong with single members of the body.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to come back, in whole seconds, at least 1.
    #[must_use]
    pub fn retry_after_ms(self, wait_ms: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000).max(1)))
    }

    /// 400, what the caller sent is not what the route takes.
    pub fn bad_request(domain: &'static str, code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, domain, code, detail)
    }

    /// 404, there is no such thing.
    pub fn not_found(domain: &'static str, code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, domain, code, detail)
    }

    /// 409, it cannot be done as things stand.
    pub fn conflict(domain: &'static str, code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, domain, code, detail)
    }

    /// 429, come back in so many milliseconds.
    pub fn too_many_requests(
        domain: &'static str,
        code: impl Into<String>,
        detail: impl Into<String>,
        wait_ms: u64,
    ) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, domain, code, detail).retry_after_ms(wait_ms)
    }

    /// 500, the daemon's own fault. The reason goes to the log.
    pub fn internal(domain: &'static str) -> Self {
        let detail = "the daemon failed; its log says how";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, domain, "internal_error", detail)
    }

    /// 503, come back soon.
    pub fn unavailable(domain: &'static str, code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, domain, code, detail).retry_after_ms(1000)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A pointer names members as the caller wrote them.
        let text = |text: &str| mask(text).into_owned();
        let masked = |error: FieldError| FieldError { pointer: text(&error.pointer), detail: text(&error.detail) };
        let errors = self.errors.into_iter().map(masked).collect();
        let document = Document {
            r#type: format!("urn:kheish:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Daemon Error"),
            status: self.status.as_u16(),
            detail: text(&self.detail),
            code: self.code,
            domain: self.domain,
            errors,
        };
        let mut response = (self.status, Json(document)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// The store's own trouble: busy or full is worth another try, a damaged row is ours to mend. The text goes to the log.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => {
                tracing::warn!("the store's queue is full (store.queue_length); a caller was sent away");
                Self::unavailable("api", "overloaded", "too many writes are waiting: try again")
            }
            StoreError::Unavailable(_) | StoreError::Outrun => Self::unavailable(
                "api",
                "service_unavailable",
                "the store could not commit, and nothing was written: try again",
            ),
            StoreError::Database(_) | StoreError::Damaged(_) => {
                tracing::error!(%error, "a request failed in the store: {error}");
                Self::internal("api")
            }
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                tracing::info!("a body was larger than server.control_body_limit_bytes");
                let detail = "the body is larger than server.control_body_limit_bytes: send less";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "api", "payload_too_large", detail)
            }
            _ => Self::bad_request("api", "incomplete_body", rejection.body_text()),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("api", "invalid_path", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("api", "invalid_query", rejection.body_text())
    }
}

/// 404 for a path that no route has.
pub async fn route_not_found(uri: Uri) -> Problem {
    Problem::not_found("api", "route_not_found", format!("there is no route `{}`", uri.path()))
}

/// 405 for a path that has other methods; the router adds `Allow`.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "api",
        "method_not_allowed",
        format!("`{}` does not answer {method}", uri.path()),
    )
}
