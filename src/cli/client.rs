//! Talks to a daemon: one address, one token, no redirects, no proxy on the way to this machine.

use std::{net::IpAddr, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{RequestBuilder, Response, Url, redirect::Policy};
use serde_json::Value;

use super::failure::{Failure, Refusal};
use crate::secrets::Secret;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take in all; a connector that is put has its plugin asked on the way.
const ANSWER: Duration = Duration::from_secs(60);

/// Sends requests to one daemon.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) status: StatusCode,
    /// The body as it came.
    pub(crate) body: Bytes,
    /// The body as JSON.
    pub(crate) json: Value,
}

impl Client {
    /// For the daemon at `base`, with this token on every request.
    pub(crate) fn new(base: &str, token: Option<&Secret>) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("`{base}` is no address of a daemon: {why}"));
        let url = Url::parse(base).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it begins with neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("give scheme, host, port and perhaps a path; a token goes into --token-file"));
        }
        crate::egress::install_tls();
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("kheishd-cli/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // Reading the system's certificates takes longer than most requests.
            builder = builder.tls_certs_only([]);
        }
        let http =
            builder.build().map_err(|error| Failure::Failed(format!("the HTTP client did not start: {error}")))?;
        Ok(Self { http, base: url, authorization: token.map(authorization).transpose()? })
    }

    /// Where the daemon is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.finish(self.request(Method::GET, path)).await
    }

    /// GET of something that may be missing.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Answer>, Failure> {
        match self.get(path).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Any other method, with or without a JSON body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.finish(with_body(self.request(method, path), body)).await
    }

    /// The same with a header; without one when there is no value.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        extra: (&str, Option<&str>),
    ) -> Result<Answer, Failure> {
        let mut request = with_body(self.request(method, path), body);
        if let (name, Some(value)) = extra {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Failure::Usage(format!("`{name}` cannot hold such a text: {value:?}")))?;
            request = request.header(name, value);
        }
        self.finish(request).await
    }

    /// GET of a stream, which is not read here.
    pub(crate) async fn open(&self, path: &str, last_id: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = tokio::time::timeout(ANSWER, request.send()).await;
        let response = response.map_err(|_| self.unreachable("no answer in time"))?;
        let response = response.map_err(|error| self.broken(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.read(response).await.err().unwrap_or_else(|| self.stranger("a success without a stream")))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn finish(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let response = request.timeout(ANSWER).send().await.map_err(|error| self.broken(error))?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        let json = serde_json::from_slice(&body);
        if status.is_success() {
            let json = match json {
                Ok(json) => json,
                Err(_) if status == StatusCode::NO_CONTENT => Value::Null,
                Err(_) => return Err(self.stranger("its answer is not JSON")),
            };
            return Ok(Answer { headers, status, body, json });
        }
        if status.is_redirection() {
            return Err(self.stranger(&format!("it answers {status}, and redirects are not followed")));
        }
        Err(Failure::Refused(Refusal::read(status.as_u16(), &json.unwrap_or_default())))
    }

    fn stranger(&self, why: &str) -> Failure {
        Failure::Failed(format!("what answers at {} is no kheishd: {why}", self.base))
    }

    fn unreachable(&self, why: &str) -> Failure {
        let hint = "is it running, and is --base-url (KHEISH_DAEMON_URL) right?";
        Failure::Unreachable(format!("the daemon at {} cannot be reached: {why}; {hint}", self.base))
    }

    fn broken(&self, error: reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::Usage(format!("the request cannot be made: {}", innermost(&error)));
        }
        self.unreachable(&if error.is_timeout() { "no answer in time".to_owned() } else { innermost(&error) })
    }
}

fn with_body(request: RequestBuilder, body: Option<&Value>) -> RequestBuilder {
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

fn authorization(token: &Secret) -> Result<HeaderValue, Failure> {
    let bytes = [b"Bearer ", token.expose()].concat();
    let mut value = HeaderValue::from_bytes(&bytes)
        .map_err(|_| Failure::Usage("the token holds characters that no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The reason at the bottom: what the system said.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Whether the daemon is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The token of a file: its text without white space around it.
pub(crate) fn read_token(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("the token file `{}` cannot be read: {error}", path.display())))?;
    match text.trim() {
        "" => Err(Failure::Usage(format!("the token file `{}` is blank", path.display()))),
        token => Ok(Secret::new(token)),
    }
}

/// A path of these parts. Names may hold anything but what would lead elsewhere.
pub(crate) fn path(parts: &[&str]) -> Result<String, Failure> {
    let mut path = String::new();
    for part in parts {
        if matches!(*part, "" | "." | "..") {
            return Err(Failure::Usage(format!("`{part}` names nothing")));
        }
        path.push('/');
        path.push_str(&encode(part));
    }
    Ok(path)
}

/// A query of what has a value.
pub(crate) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Percent-encodes everything but letters, digits and `-._~`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_part_of_the_path() {
        let made = path(&["v1", "runtime", "secrets", "shop/orders.token é?#%"]).ok();
        assert_eq!(made.as_deref(), Some("/v1/runtime/secrets/shop%2Forders.token%20%C3%A9%3F%23%25"));
        for nowhere in ["", ".", ".."] {
            assert!(path(&["v1", nowhere]).is_err());
        }
        assert_eq!(query(&[("a", Some("x&y=z")), ("b", None), ("c", Some("1"))]), "?a=x%26y%3Dz&c=1");
    }

    #[test]
    fn only_addresses_of_daemons_are_taken() {
        for wrong in ["127.0.0.1:4000", "ftp://a", "http://user:pw@a", "http://a?x=1", ""] {
            assert_eq!(Client::new(wrong, None).err().map(|failure| failure.exit_code()), Some(2), "{wrong}");
        }
        let loopback =
            ["http://localhost:1", "http://127.9.9.9", "http://[::1]:1", "http://example.org", "http://10.0.0.1"];
        let found = loopback.map(|base| Url::parse(base).as_ref().is_ok_and(is_loopback));
        assert_eq!(found, [true, true, true, false, false]);
    }
}
