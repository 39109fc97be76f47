//! HTTP requests to a daemon, and its answers.

use std::{sync::Once, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use crate::wait::PATIENCE;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// The body as JSON; null when it is not JSON.
    pub json: Value,
}

impl Answer {
    /// A header's text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text in the JSON, by pointer; empty when it is missing.
    pub fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The same answer, when its status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", String::from_utf8_lossy(&self.body));
        self
    }

    /// The items of a bare list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.json.as_array().expect("the answer is a JSON list")
    }
}

/// Sends requests to one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// For the daemon at `base`, e.g. `http://127.0.0.1:4000`.
    pub fn new(base: &str) -> Self {
        static TLS: Once = Once::new();
        // The client wants TLS to be possible, also when it only ever speaks plain HTTP.
        TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE);
        let builder = builder.redirect(reqwest::redirect::Policy::none()).connect_timeout(Duration::from_secs(5));
        Self { http: builder.build().expect("an HTTP client"), base: base.to_owned(), token: None }
    }

    /// The same with an admin token on every request of its own.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Where it sends to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to be filled in.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    /// POST of bytes that call themselves JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        answer(self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body.into())).await
    }
}

/// Sends a request; no answer fails the test.
pub async fn answer(request: RequestBuilder) -> Answer {
    try_answer(request).await.expect("an answer from the daemon")
}

/// Sends a request. An error says that no whole answer came back.
pub async fn try_answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // An event stream does not end.
    let streams = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = if streams { Bytes::new() } else { response.bytes().await? };
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Answer { status, headers, body, json })
}
