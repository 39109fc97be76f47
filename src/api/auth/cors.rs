//! Which web pages may call the control plane: those of this machine, or a list of them (contract section 1.1).

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
    response::Response,
};

use super::loopback::{host_and_port, is_loopback_literal};

/// What a preflight is told, beside the origin.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key, if-match, last-event-id, x-kheish-daemon-token, x-kheish-daemon-url",
    ),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Headers of an answer that a page may read.
const EXPOSED: &str = "ETag, Retry-After, Kheish-Receipt";

/// The origins that may call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origins {
    /// Every one on a loopback address.
    Loopback,
    /// These, in the form that [`origin`] gives.
    Exactly(Vec<String>),
}

impl Origins {
    /// Reads the list of the settings; none means every loopback origin. One sentence for each that is not one.
    pub(super) fn read(list: &[String]) -> Result<Self, Vec<String>> {
        if list.is_empty() {
            return Ok(Self::Loopback);
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            list.iter().map(|text| origin(text.trim()).ok_or(text)).partition(Result::is_ok);
        if unknown.is_empty() {
            return Ok(Self::Exactly(known.into_iter().flatten().collect()));
        }
        let sentence = |text: &String| {
            format!(
                "`{text}` in auth.cors_allow_origins (--http-cors-allow-origin) is no loopback origin: \
                 write it like `http://localhost:3000`, with localhost, 127.0.0.1 or [::1], and no path"
            )
        };
        Err(unknown.into_iter().filter_map(Result::err).map(sentence).collect())
    }

    /// Where the page that calls comes from, if a page calls.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Caller {
        let mut values = headers.get_all(ORIGIN).iter();
        match (values.next(), values.next()) {
            (None, _) => Caller::NoPage,
            (Some(sent), None) if self.allows(sent) => Caller::Allowed(sent.clone()),
            _ => Caller::Refused,
        }
    }

    fn allows(&self, sent: &HeaderValue) -> bool {
        let Some(origin) = sent.to_str().ok().and_then(origin) else { return false };
        match self {
            Self::Loopback => true,
            Self::Exactly(list) => list.contains(&origin),
        }
    }
}

/// Who calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// No web page, or one that the browser takes for the daemon's own.
    NoPage,
    /// A page of this origin, which may.
    Allowed(HeaderValue),
    /// A page that may not.
    Refused,
}

/// Whether a browser asks what it may send.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in PREFLIGHT {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets pages of this origin read an answer.
pub(super) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

/// A loopback origin in the form that browsers send: lower case, without the scheme's own port.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let own_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (host, port) = host_and_port(authority)?;
    let port = port.filter(|port| *port != own_port).map(|port| format!(":{port}")).unwrap_or_default();
    (host == "localhost" || is_loopback_literal(host)).then(|| format!("{scheme}://{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origins: &Origins, sent: &str) -> bool {
        origins.allows(&HeaderValue::from_str(sent).unwrap())
    }

    #[test]
    fn pages_of_this_machine_by_default() {
        for good in
            ["http://localhost", "https://LOCALHOST:3000", "http://127.0.0.1:1", "http://127.1.2.3", "http://[::1]:80"]
        {
            assert!(judge(&Origins::Loopback, good), "{good}");
        }
        for bad in [
            "null",
            "",
            "localhost",
            "ftp://localhost",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://evil.example#localhost",
            "http://localhost/",
            "http://localhost/path",
            "http://user@localhost",
            "http://localhost:port",
            "http://localhost:",
            "http://a.localhost",
            "http://10.0.0.1",
            "http://localhost http://localhost",
        ] {
            assert!(!judge(&Origins::Loopback, bad), "{bad}");
        }
    }

    #[test]
    fn a_list_is_exact_but_for_spelling() {
        let origins = Origins::read(&["http://LocalHost:80".to_owned(), "https://[::1]:3000".to_owned()]).unwrap();
        assert!(judge(&origins, "http://localhost") && judge(&origins, "https://[::1]:3000"));
        for other in ["https://localhost", "http://localhost:3000", "http://127.0.0.1", "https://[::1]"] {
            assert!(!judge(&origins, other), "{other}");
        }
        let wrong = ["http://localhost/", "https://app.example", "*", ""].map(str::to_owned);
        assert_eq!(Origins::read(&wrong).unwrap_err().len(), 4);
        assert_eq!(Origins::read(&[]), Ok(Origins::Loopback));
    }
}
