//! Which failures are worth another request, when, and what people are told of them.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::answer::{self, Unusable};
use crate::{
    egress::EgressError,
    executor::attempt::{self, Again},
    model::run::RunError,
    secrets::mask,
};

/// Characters of a provider's message that are kept.
const MESSAGE_CHARS: usize = 500;
/// The longest wait between two requests that nobody asked for.
const MAX_BACKOFF_MS: u64 = 30_000;

/// Why there is no answer yet.
#[derive(Debug)]
pub struct Failure {
    /// What the run fails with when there is no further request.
    pub error: RunError,
    /// Whether another request may help.
    pub again: bool,
    /// How long the provider asked to wait.
    pub after: Option<Duration>,
}

impl Failure {
    /// Another request changes nothing.
    pub fn last(code: &str, detail: impl AsRef<str>) -> Self {
        Self { error: error(code, detail.as_ref()), again: false, after: None }
    }

    /// Another request may help.
    pub fn passing(detail: impl AsRef<str>) -> Self {
        Self { error: error("openai_unavailable", detail.as_ref()), again: true, after: None }
    }

    /// No answer came, or it broke off.
    pub fn of_transport(error: EgressError) -> Self {
        match error {
            EgressError::Denied(reason) => Self::last("openai_denied", format!("the request was not sent: {reason}")),
            EgressError::Unreached(reason) => Self::passing(format!("the endpoint cannot be reached: {reason}")),
            EgressError::Timeout => Self::passing("the endpoint took longer than timeout_ms"),
            EgressError::Transport(reason) => Self::passing(format!("the answer broke off: {reason}")),
        }
    }

    /// The answer has a status that is no success.
    pub fn of_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let detail = format!("the endpoint answered {}: {}", status.as_u16(), told(body));
        let mut failure = match status {
            status if is_passing(status.as_u16()) => Self::passing(detail),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::last("openai_unauthorized", detail),
            _ => Self::last("openai_refused", detail),
        };
        failure.after = wait(headers).filter(|_| failure.again);
        failure
    }

    /// The answer itself is not one.
    pub fn of_answer(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Malformed(reason) => Self::passing(reason),
            Unusable::TooLong(limit) => {
                Self::last("openai_answer_too_long", format!("the answer is longer than answer_bytes, {limit}"))
            }
            Unusable::Reported(Some(status), message) if (400..500).contains(&status) && !is_passing(status) => {
                Self::last("openai_refused", format!("the endpoint reported {status}: {message}"))
            }
            Unusable::Reported(_, message) => Self::passing(format!("the endpoint reported: {message}")),
        }
    }
}

/// What becomes of the attempt.
impl Failure {
    /// The run fails.
    pub fn last_word(self) -> attempt::Failure {
        attempt::Failure { error: self.error, again: Again::Never }
    }

    /// Another attempt follows soon.
    pub fn another_try(self) -> attempt::Failure {
        attempt::Failure { error: self.error, again: Again::Later }
    }

    /// Another attempt follows after the wait that the provider asked for: too long a one to sit through.
    pub fn another_day(self, wait: Duration) -> attempt::Failure {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        attempt::Failure { error: self.error, again: Again::NotBefore(wait_ms) }
    }
}

/// What is kept of a provider's words, on one line.
fn error(code: &str, detail: &str) -> RunError {
    let kept = mask::cut(detail, MESSAGE_CHARS);
    let plain = kept.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    RunError { code: code.to_owned(), detail: plain.collect() }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500..)
}

fn told(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    let said = json.as_ref().map(|value| answer::message(value.get("error").unwrap_or(value)));
    said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// How long an answer asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.
pub fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::trim);
    let number = |text: &str, unit: f64| {
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
        // However large it is, it is a wait; nobody waits that long.
        Some(Duration::from_secs_f64((number * unit).min(1e9)))
    };
    if let Some(wait) = text("retry-after-ms").and_then(|text| number(text, 0.001)) {
        return Some(wait);
    }
    let asked = text(header::RETRY_AFTER.as_str())?;
    number(asked, 1.0).or_else(|| {
        let until = httpdate::parse_http_date(asked).ok()?;
        // A date counts from the answer's own, so that no clock but the provider's matters.
        let now = httpdate::parse_http_date(text(header::DATE.as_str())?).ok()?;
        Some(until.duration_since(now).unwrap_or_default())
    })
}

/// The wait after request `nth` (from 1) that nobody asked for: between half of the schedule and the whole, as `chance` decides.
pub fn backoff(first_ms: u64, nth: u32, chance: u32) -> Duration {
    let ceiling = first_ms.saturating_mul(1 << nth.saturating_sub(1).min(16)).min(MAX_BACKOFF_MS);
    let drawn = u128::from(ceiling / 2) * u128::from(chance) / u128::from(u32::MAX);
    Duration::from_millis(ceiling - ceiling / 2 + u64::try_from(drawn).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn waits(pairs: &[(&'static str, &'static str)]) -> Option<u128> {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        wait(&pairs.collect()).map(|wait| wait.as_millis())
    }

    #[test]
    fn waits_are_read_in_every_form() {
        assert_eq!(waits(&[("retry-after", "2")]), Some(2_000));
        assert_eq!(waits(&[("retry-after", "1.5"), ("retry-after-ms", "30")]), Some(30));
        let (date, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:40 GMT");
        assert_eq!(waits(&[("retry-after", later), ("date", date)]), Some(3_000));
        assert_eq!(waits(&[("retry-after", date), ("date", later)]), Some(0));
        assert_eq!(waits(&[("retry-after", "soon")]), None);
        assert!(waits(&[("retry-after", "1e300")]).is_some());
    }

    #[test]
    fn statuses_fall_into_their_class() {
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = Failure::of_status(status, &HeaderMap::new(), br#"{"error":{"message":"why"}}"#);
            assert!(failure.error.detail.ends_with(": why"), "{failure:?}");
            (failure.again, failure.error.code)
        };
        for status in [408, 409, 425, 429, 500, 502, 503, 529] {
            assert_eq!(judged(status), (true, "openai_unavailable".to_owned()), "{status}");
        }
        for (status, code) in [(400, "openai_refused"), (404, "openai_refused"), (401, "openai_unauthorized")] {
            assert_eq!(judged(status), (false, code.to_owned()), "{status}");
        }
    }

    #[test]
    fn messages_are_cut_and_plain() {
        let failure = Failure::of_status(StatusCode::BAD_REQUEST, &HeaderMap::new(), "a\nb".repeat(1_000).as_bytes());
        assert_eq!(failure.error.detail.chars().count(), MESSAGE_CHARS);
        assert!(!failure.error.detail.contains('\n'));
    }

    proptest! {
        #[test]
        fn waits_grow_within_bounds(first in 0u64..100_000, nth in 0u32..200, chance: u32) {
            let wait = backoff(first, nth, chance);
            prop_assert!(wait <= Duration::from_millis(MAX_BACKOFF_MS));
            prop_assert!(wait >= Duration::from_millis(first.min(MAX_BACKOFF_MS) / 2));
        }
    }
}
