//! Requests of callers, and what they are answered.

use serde::Serialize;

use crate::{Header, HttpRequest, HttpResponse, json};

impl HttpRequest {
    /// The value of the first header of this name, which is given in lower case. Headers with credentials that a
    /// verification recipe checked do not reach the connector.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }
}

impl HttpResponse {
    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A response with a JSON body.
    ///
    /// # Panics
    ///
    /// When `value` cannot be JSON, see [`json::text`].
    pub fn json<T: Serialize>(status: u16, value: &T) -> Self {
        Self { body: json::text(value).into_bytes(), ..Self::empty(status) }
            .with_header("content-type", "application/json")
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }
}
