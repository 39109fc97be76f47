//! The `http` target: one POST for each delivery (contract section 6.5).
//!
//! What a failure means is said by where it is born. Before there is a connection nothing has left, and an answer of any
//! kind is the target's word: both are known. In between the request may have arrived.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    dispatcher::Ways,
    sent::{Sent, dead},
};
use crate::{
    assets::links::Links,
    egress::{Answer, EgressError, address::Reach},
    model::{artifact::Artifact, delivery::Delivery},
    secrets::webhook,
};

/// Headers that a target may not set: they belong to the connection or to the daemon (contract section 6.5).
const FORBIDDEN: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-real-ip",
];

/// The same for whatever begins like this.
const FORBIDDEN_FAMILIES: [&str; 3] = ["proxy-", "webhook-", "x-forwarded-"];

/// A parsed address.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    url: Url,
    headers: HeaderMap,
    reach: Reach,
    signing_secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    url: String,
    #[serde(default)]
    allow_private_network: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    signing_secret_ref: Option<String>,
}

impl HttpTarget {
    /// Reads an address: a URL, or JSON text with `url`, `headers`, `signing_secret_ref` and
    /// `allow_private_network`. The error says what is wrong without repeating the address.
    pub fn parse(address: &str) -> Result<Self, String> {
        let address = if address.trim_start().starts_with('{') {
            serde_json::from_str(address)
                .map_err(|error| format!("the address is not of the form {{\"url\": …}}: {error}"))?
        } else {
            Address {
                url: address.to_owned(),
                allow_private_network: false,
                headers: BTreeMap::new(),
                signing_secret_ref: None,
            }
        };
        let url = Url::parse(&address.url).map_err(|error| format!("the address is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the address is not an http or https URL".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds a user name or a password: take it out".to_owned());
        }
        let reach = if address.allow_private_network { Reach::Private } else { Reach::Public };
        Ok(Self { url, headers: checked(&address.headers)?, reach, signing_secret: address.signing_secret_ref })
    }

    /// Whether it grants itself addresses that are not public.
    pub fn allow_private_network(&self) -> bool {
        self.reach == Reach::Private
    }

    /// Scheme, host and port, as one text.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The name of the secret that requests are signed with.
    pub fn signing_secret(&self) -> Option<&str> {
        self.signing_secret.as_deref()
    }

    /// Sends a delivery once, at this time in milliseconds since 1970.
    pub async fn send(&self, ways: &Ways, delivery: &Delivery, now_ms: i64) -> Sent {
        let body = body(delivery, &ways.links, now_ms).to_string();
        let signature = match self.sign(ways, &delivery.idempotency_key(), now_ms, body.as_bytes()).await {
            Ok(signature) => signature,
            Err(unsigned) => return unsigned,
        };
        let request = ways
            .egress
            .request(Method::POST, self.url.clone(), self.reach)
            .headers(self.headers.clone())
            .header("idempotency-key", delivery.idempotency_key())
            .header(header::CONTENT_TYPE, "application/json")
            .headers(signature)
            .body(body)
            .build();
        match request {
            Ok(request) => judge(ways.egress.send(request, self.reach).await, now_ms),
            Err(error) => dead("invalid_target", error.without_url().to_string()),
        }
    }

    /// The three headers of the Standard Webhooks specification, or none for a target that names no secret. Without its
    /// secret nothing is sent: an operator can put it back before the last attempt.
    async fn sign(&self, ways: &Ways, key: &str, now_ms: i64, body: &[u8]) -> Result<HeaderMap, Sent> {
        let Some(name) = &self.signing_secret else { return Ok(HeaderMap::new()) };
        let secret = match ways.destinations.secret(name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(retry("signing_secret_missing", format!("there is no secret `{name}` any more"))),
            Err(error) => {
                tracing::warn!(secret = name, %error, "secret `{name}` could not be read to sign with: {error}");
                let detail = format!("secret `{name}` could not be read; the log says why");
                return Err(retry("signing_secret_unreadable", detail));
            }
        };
        // Without a dot, as the specification wants it, and the same over all attempts.
        let id = key.strip_prefix("kheish:").unwrap_or(key);
        let seconds = now_ms.div_euclid(1_000);
        let signature = webhook::sign(&secret, id, seconds, body)
            .map_err(|error| retry("signing_secret_unusable", format!("secret `{name}` cannot sign: {error}")))?;
        let mut headers = HeaderMap::new();
        for (header, value) in [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ] {
            let value = HeaderValue::try_from(value).map_err(|error| dead("invalid_target", error.to_string()))?;
            headers.insert(HeaderName::from_static(header), value);
        }
        Ok(headers)
    }
}

/// Links to files begin to run out now: another attempt has others.
fn body(delivery: &Delivery, links: &Links, now_ms: i64) -> Value {
    let artifacts: Vec<Artifact> = serde_json::from_str(&delivery.artifacts).unwrap_or_default();
    let attachments = artifacts.iter().map(|file| {
        json!({
            "asset_id": file.asset_id,
            "file_name": file.name,
            "media_type": file.media_type,
            "sha256": file.asset_id,
            "byte_length": file.size,
            "download_path": links.path(&file.asset_id, &file.name, now_ms),
        })
    });
    let attachments: Vec<Value> = attachments.collect();
    json!({
        "delivery_id": delivery.id,
        "run_id": delivery.run,
        "session_id": delivery.session,
        "content": delivery.content,
        "parts": [{ "type": "text", "text": delivery.content }],
        "artifacts": artifacts,
        "artifact_attachments": attachments,
        "metadata": {},
    })
}

/// Nothing is known to have arrived; the schedule says when to try again.
fn retry(code: &str, detail: String) -> Sent {
    Sent::Retry { code: code.to_owned(), detail, after_ms: None, counts: true }
}

fn unknown(code: &str, detail: String) -> Sent {
    Sent::Unknown { code: code.to_owned(), detail }
}

fn checked(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut checked = HeaderMap::new();
    for (name, value) in headers {
        let parsed = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name"))?;
        let family = FORBIDDEN_FAMILIES.iter().any(|family| parsed.as_str().starts_with(family));
        if family || FORBIDDEN.contains(&parsed.as_str()) {
            return Err(format!("the header `{name}` is not a target's to set"));
        }
        let mut value =
            HeaderValue::try_from(value).map_err(|_| format!("the value of header `{name}` is not plain text"))?;
        value.set_sensitive(true);
        if checked.insert(parsed, value).is_some() {
            return Err(format!("the header `{name}` is there twice"));
        }
    }
    Ok(checked)
}

/// Decides from the answer whether to try again. A target that refuses the sender (401, 403) is one that refuses: there is
/// no connector to pause, and its address, which holds what the target knows us by, is fixed in the delivery.
fn judge(answer: Result<Answer, EgressError>, now_ms: i64) -> Sent {
    let answer = match answer {
        Ok(answer) => answer,
        Err(EgressError::Denied(reason)) => return dead("blocked", reason),
        Err(error @ EgressError::Unreached(_)) => return retry("connect", error.to_string()),
        Err(error @ EgressError::Timeout) => return unknown("timeout", error.to_string()),
        Err(error @ EgressError::Transport(_)) => return unknown("broken_answer", error.to_string()),
    };
    let detail = format!("the target answered {}", answer.status);
    let code = match answer.status {
        status if status.is_success() => return Sent::Delivered { platform_id: None, detail: None },
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => "status",
        status if status.is_client_error() => return dead("status", detail),
        _ => "status",
    };
    // A wait that was asked for costs no attempt.
    let after_ms = retry_after_ms(&answer.headers, now_ms);
    Sent::Retry { code: code.to_owned(), detail, after_ms, counts: after_ms.is_none() }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3). The settings say how much of it counts.
pub fn retry_after_ms(headers: &HeaderMap, now_ms: i64) -> Option<i64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    // Some platforms give fractions. However large a number is, it is a number.
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
        // What is too large is cut to what the type holds.
        return Some((seconds * 1_000.0).ceil().max(0.0) as i64);
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let own = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    // A date counts from the answer's own where it has one, so that no clock but the target's matters.
    let now = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let wait = until.duration_since(now.unwrap_or(own)).unwrap_or_default();
    Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn addresses_are_urls_or_json() {
        assert!(!HttpTarget::parse("https://example.com/hook?x=1").unwrap().allow_private_network());
        assert!(
            HttpTarget::parse(r#"{"url":"http://127.0.0.1/","allow_private_network":true}"#)
                .unwrap()
                .allow_private_network()
        );
        for bad in [
            "",
            "example.com",
            "ftp://example.com/",
            "https://user:word@example.com/",
            r#"{"url":1}"#,
            r#"{"url":"http://a/","extra":1}"#,
            r#"{"url":"http://a/","headers":{"Authorization":"x"}}"#,
            r#"{"url":"http://a/","headers":{"X-Forwarded-For":"x"}}"#,
            r#"{"url":"http://a/","headers":{"bad name":"x"}}"#,
            r#"{"url":"http://a/","headers":{"X-Team":"x","x-team":"y"}}"#,
            r#"{"url":"http://a/","signing_secret_ref":7}"#,
        ] {
            assert!(HttpTarget::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_the_daemon_are_not_a_targets_to_set() {
        let families = ["Proxy-Authorization", "Webhook-Signature", "webhook-id", "X-Forwarded-Host"];
        for name in FORBIDDEN.iter().chain(&families) {
            let address = json!({ "url": "http://a/", "headers": { *name: "x" } }).to_string();
            assert!(HttpTarget::parse(&address).unwrap_err().contains("not a target's to set"), "{name}");
        }
        assert!(HttpTarget::parse(r#"{"url":"http://a/","headers":{"x-webhook":"x"}}"#).is_ok());
    }

    #[test]
    fn what_a_failure_means_is_said_by_where_it_is_born() {
        let class = |error| match judge(Err(error), 0) {
            Sent::Dead { code, .. } => ("dead", code),
            Sent::Retry { code, counts: true, after_ms: None, .. } => ("retry", code),
            Sent::Unknown { code, .. } => ("unknown", code),
            other => panic!("{other:?}"),
        };
        let text = || "reason".to_owned();
        assert_eq!(class(EgressError::Denied(text())), ("dead", "blocked".to_owned()));
        assert_eq!(class(EgressError::Unreached(text())), ("retry", "connect".to_owned()));
        assert_eq!(class(EgressError::Timeout), ("unknown", "timeout".to_owned()));
        assert_eq!(class(EgressError::Transport(text())), ("unknown", "broken_answer".to_owned()));
    }

    #[test]
    fn a_wait_that_was_asked_for_is_free() {
        for status in [301, 408, 425, 429, 500, 503] {
            for (asked, free) in [(Some("7"), true), (None, false)] {
                let headers = headers(&asked.map(|asked| ("retry-after", asked)).into_iter().collect::<Vec<_>>());
                let status = StatusCode::from_u16(status).unwrap();
                let answer = Answer { status, headers, body: bytes::Bytes::new() };
                let Sent::Retry { after_ms, counts, .. } = judge(Ok(answer), 0) else { panic!("{status}") };
                assert_eq!((after_ms, counts), (free.then_some(7_000), !free), "{status}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "7")]), 0), Some(7_000));
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "999999")]), 0), Some(999_999_000));
        let huge = [("retry-after", "99999999999999999999999")];
        assert_eq!(retry_after_ms(&headers(&huge), 0), Some(i64::MAX));
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "0.3")]), 0), Some(300));
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "-1")]), 0), Some(0));
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "inf")]), 0), None);
        let dated = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")];
        assert_eq!(retry_after_ms(&headers(&dated), 0), Some(3_000));
        let undated = headers(&[("retry-after", "Thu, 01 Jan 1970 00:00:05 GMT")]);
        assert_eq!(retry_after_ms(&undated, 3_000), Some(2_000), "this host's clock where the answer has no date");
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "soon")]), 0), None);
        assert_eq!(retry_after_ms(&headers(&[]), 0), None);
    }
}
