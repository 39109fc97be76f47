//! Events as a platform sends them.

use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    client::{self, Answer, Client},
    sign::{Signature, now_secs, sign},
};

/// Sends events to one connector.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    target: String,
    bearer: Option<String>,
    key: Option<String>,
    headers: Vec<(String, String)>,
}

impl Sender {
    /// To `kind/name`, without credentials yet.
    pub fn new(client: &Client, kind: &str, name: &str) -> Self {
        let target = format!("/v1/connectors/{kind}/{name}");
        Self { client: client.clone(), target, bearer: None, key: None, headers: Vec::new() }
    }

    /// Shows this token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.bearer = Some(token.to_owned());
        self
    }

    /// Signs with this key, now.
    #[must_use]
    pub fn hmac(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Sends this header too.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends this to the path, e.g. a query.
    #[must_use]
    pub fn at(mut self, suffix: &str) -> Self {
        self.target.push_str(suffix);
        self
    }

    /// Path and query that it sends to.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Sends a payload.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_bytes(body.to_string()).await
    }

    /// Sends bytes as they are.
    pub async fn post_bytes(&self, body: impl Into<Vec<u8>>) -> Answer {
        client::answer(self.request(body.into())).await
    }

    /// Sends a payload; an error says that no whole answer came back.
    pub async fn try_post(&self, body: &Value) -> reqwest::Result<Answer> {
        client::try_answer(self.request(body.to_string().into_bytes())).await
    }

    /// Sends a small event with this key and content into the conversation `binding`.
    pub async fn say(&self, key: &str, binding: &str, content: &str) -> Answer {
        self.post(&event(key, binding, content)).await
    }

    /// The signature of a body, as this sender would send it.
    pub fn signature(&self, body: &[u8]) -> Signature {
        sign(self.key.as_deref().unwrap_or_default(), "POST", &self.target, &now_secs().to_string(), body)
    }

    fn request(&self, body: Vec<u8>) -> RequestBuilder {
        let mut request = self.client.request(Method::POST, &self.target).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if self.key.is_some() {
            let signed = self.signature(&body);
            request =
                request.header("x-kheish-timestamp", signed.timestamp).header("x-kheish-signature", signed.signature);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(body)
    }
}

/// A small event with this key and content, in the conversation `binding`.
pub fn event(key: &str, binding: &str, content: &str) -> Value {
    json!({ "idempotency_key": key, "binding_keys": [binding], "content": content })
}
