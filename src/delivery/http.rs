//! The `http` target: one POST for each delivery (contract section 6.5).

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::sent::{Sent, dead};
use crate::{
    egress::{Egress, EgressError, address::Reach},
    model::delivery::Delivery,
};

/// Headers that a target may not set: they belong to the connection or to the daemon (contract section 6.5).
const FORBIDDEN: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "idempotency-key",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

/// The longest wait that a target can ask for, in milliseconds.
const MAX_RETRY_AFTER_MS: i64 = 3_600_000;

/// A parsed address.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    url: Url,
    headers: HeaderMap,
    reach: Reach,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    url: String,
    #[serde(default)]
    allow_private_network: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl HttpTarget {
    /// Reads an address: a URL, or JSON text with `url`, `headers` and `allow_private_network`. The error says what is wrong
    /// without repeating the address.
    pub fn parse(address: &str) -> Result<Self, String> {
        let address = if address.trim_start().starts_with('{') {
            serde_json::from_str(address)
                .map_err(|error| format!("the address is not of the form {{\"url\": …}}: {error}"))?
        } else {
            Address { url: address.to_owned(), allow_private_network: false, headers: BTreeMap::new() }
        };
        let url = Url::parse(&address.url).map_err(|error| format!("the address is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the address is not an http or https URL".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds a user name or a password: take it out".to_owned());
        }
        let reach = if address.allow_private_network { Reach::Private } else { Reach::Public };
        Ok(Self { url, headers: checked(&address.headers)?, reach })
    }

    /// Whether it grants itself addresses that are not public.
    pub fn allow_private_network(&self) -> bool {
        self.reach == Reach::Private
    }

    /// Sends a delivery once, at this time in milliseconds since 1970.
    pub async fn send(&self, egress: &Egress, delivery: &Delivery, now_ms: i64) -> Sent {
        let part = json!({ "type": "text", "text": delivery.content });
        let body = json!({
            "delivery_id": delivery.id,
            "run_id": delivery.run,
            "session_id": delivery.session,
            "content": delivery.content,
            "parts": [part],
            "artifacts": [],
            "metadata": {},
        });
        let request = egress
            .request(Method::POST, self.url.clone(), self.reach)
            .headers(self.headers.clone())
            .header("idempotency-key", delivery.idempotency_key())
            .json(&body)
            .build();
        match request {
            Ok(request) => judge(egress.send(request, self.reach).await, now_ms),
            Err(error) => dead("invalid_target", error.without_url().to_string()),
        }
    }
}

fn checked(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut checked = HeaderMap::new();
    for (name, value) in headers {
        let parsed = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name"))?;
        if FORBIDDEN.contains(&parsed.as_str()) || parsed.as_str().starts_with("x-forwarded-") {
            return Err(format!("the header `{name}` is not a target's to set"));
        }
        let value =
            HeaderValue::try_from(value).map_err(|_| format!("the value of header `{name}` is not plain text"))?;
        checked.insert(parsed, value);
    }
    Ok(checked)
}

/// Decides from the answer whether to try again.
fn judge(answer: Result<crate::egress::Answer, EgressError>, now_ms: i64) -> Sent {
    let retry = |code: &str, detail: String, after_ms: Option<i64>, counts| Sent::Retry {
        code: code.to_owned(),
        detail,
        after_ms,
        counts,
    };
    match answer {
        Ok(answer) if answer.status.is_success() => Sent::Delivered { platform_id: None },
        Ok(answer) => {
            let detail = format!("the target answered {}", answer.status);
            let after_ms = retry_after_ms(&answer.headers, now_ms);
            match answer.status {
                StatusCode::TOO_MANY_REQUESTS => retry("rate_limited", detail, after_ms, after_ms.is_none()),
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => retry("status", detail, after_ms, true),
                status if status.is_client_error() => dead("status", detail),
                _ => retry("status", detail, after_ms, true),
            }
        }
        Err(EgressError::Denied(reason)) => dead("blocked", reason),
        Err(error @ EgressError::Timeout) => retry("timeout", error.to_string(), None, true),
        Err(error @ EgressError::Transport(_)) => retry("connect", error.to_string(), None, true),
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), capped.
fn retry_after_ms(headers: &HeaderMap, now_ms: i64) -> Option<i64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait_ms = match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1000)?,
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            let own = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
            // A date counts from the answer's own where it has one, so that no clock but the target's matters.
            let now = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            i64::try_from(until.duration_since(now.unwrap_or(own)).unwrap_or_default().as_millis()).ok()?
        }
    };
    Some(wait_ms.clamp(0, MAX_RETRY_AFTER_MS))
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
        ] {
            assert!(HttpTarget::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "7")]), 0), Some(7_000));
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "999999")]), 0), Some(MAX_RETRY_AFTER_MS));
        let dated = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")];
        assert_eq!(retry_after_ms(&headers(&dated), 0), Some(3_000));
        let undated = headers(&[("retry-after", "Thu, 01 Jan 1970 00:00:05 GMT")]);
        assert_eq!(retry_after_ms(&undated, 3_000), Some(2_000), "this host's clock where the answer has no date");
        assert_eq!(retry_after_ms(&headers(&[("retry-after", "soon")]), 0), None);
        assert_eq!(retry_after_ms(&headers(&[]), 0), None);
    }
}
