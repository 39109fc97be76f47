//! From what a guest asks for to a request that may leave, or a sentence that says why not. Nothing is sent here.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Method, Url};

use super::{
    body::{self, Piece, Written},
    credentials,
};
use crate::{
    connectors::{
        Context,
        wasm::{
            RequestSettings,
            bindings::kheish::connector::{
                http::{Credential, Request},
                types::Header,
            },
        },
    },
    egress::address::Reach,
};

/// Length of a URL, in bytes.
const URL_BYTES: usize = 8 * 1024;

/// Methods that guests may use.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// Headers that belong to the connection or to the host, whoever sets them.
const OF_THE_HOST: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "proxy-connection",
];

/// Headers that guests do not write themselves: credentials, which are slots, and what would let an answer come back in a form
/// in which nothing can be masked.
const NOT_OF_GUESTS: [&str; 6] = ["accept-encoding", "authorization", "cookie", "if-range", "range", "x-api-key"];

/// Why a request does not leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A rule stands against it.
    Denied(String),
    /// It has more of something than it may.
    TooLarge(String),
}

/// A request that may leave. It holds secrets.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<Piece>,
    pub(super) reach: Reach,
    /// The name of its destination in the manifest.
    pub(super) destination: String,
}

/// Checks a request against what the connector may do, and then puts its credentials in.
pub(super) fn prepare(context: &Context, request: Request, settings: &RequestSettings) -> Result<Prepared, Refused> {
    let deny = |reason: String| Err(Refused::Denied(reason));
    if !METHODS.contains(&request.method.as_str()) {
        return deny(format!("the method is none of {}", METHODS.join(", ")));
    }
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| Refused::Denied(error.to_string()))?;
    let mut url = url(&request.url)?;
    let Some(found) = context.outbound.find(&url) else {
        let origin = url.origin().ascii_serialization();
        return deny(format!("`{origin}` is none of the places that the connector may send requests to"));
    };
    let mut headers = headers(&request.headers, settings.header_bytes)?;
    let Written { pieces: body, content_type } = body::write(request.body, settings.body_bytes)?;
    if let Some(content_type) = content_type
        && headers.insert(header::CONTENT_TYPE, content_type).is_some()
    {
        return deny("a form of several parts has a content-type of its own".to_owned());
    }
    for credential in &request.credentials {
        let slot = slot(credential);
        if !context.outbound.may_carry(slot, &found) {
            let place = found.destinations.join("`, `");
            return deny(format!("the secret slot `{slot}` may not be sent to `{place}`"));
        }
        let Some(secret) = context.secrets.get(slot) else {
            return deny(format!("the secret slot `{slot}` is empty"));
        };
        credentials::place(credential, secret, &mut url, &mut headers)?;
    }
    let destination = found.destinations.into_iter().next().unwrap_or_default();
    Ok(Prepared { method, url, headers, body, reach: found.reach, destination })
}

fn slot(credential: &Credential) -> &str {
    match credential {
        Credential::Bearer(slot) => slot,
        Credential::Header(header) => &header.slot,
        Credential::Path(path) => &path.slot,
        Credential::Query(query) => &query.slot,
    }
}

fn url(text: &str) -> Result<Url, Refused> {
    if text.len() > URL_BYTES {
        return Err(Refused::TooLarge(format!("the URL has more than {URL_BYTES} bytes")));
    }
    let url = Url::parse(text).map_err(|error| Refused::Denied(format!("the URL cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Refused::Denied("the URL is not an absolute one of http or https".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Refused::Denied("the URL has a user name, a password or a fragment".to_owned()));
    }
    Ok(url)
}

fn headers(written: &[Header], most: usize) -> Result<HeaderMap, Refused> {
    let size: usize = written.iter().map(|header| header.name.len() + header.value.len()).sum();
    if size > most {
        let reason = format!("the headers have more than {most} bytes (guests.requests.header_bytes)");
        return Err(Refused::TooLarge(reason));
    }
    let mut headers = HeaderMap::new();
    for written in written {
        let name = name(&written.name)?;
        if NOT_OF_GUESTS.contains(&name.as_str()) {
            return Err(Refused::Denied(format!("the header `{name}` is not a guest's to set")));
        }
        let value = HeaderValue::try_from(&written.value)
            .map_err(|_| Refused::Denied(format!("the value of header `{name}` cannot be sent")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// A header name that is neither the connection's nor the host's.
pub(super) fn name(written: &str) -> Result<HeaderName, Refused> {
    let name = HeaderName::try_from(written)
        .map_err(|_| Refused::Denied(format!("`{}` is not a header name", written.escape_debug())))?;
    let text = name.as_str();
    if OF_THE_HOST.contains(&text) || text.starts_with("proxy-") || text.starts_with("x-forwarded-") {
        return Err(Refused::Denied(format!("the header `{name}` is not a guest's to set")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
