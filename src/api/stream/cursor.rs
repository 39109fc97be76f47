//! Where a stream begins: what the reader saw last.

use axum::http::HeaderMap;

use super::DOMAIN;
use crate::wire::problem::Problem;

/// The header in which browsers say it.
const LAST_EVENT_ID: &str = "last-event-id";

/// The larger of header and query, and never of the future; none when neither says anything.
pub(super) fn begin(headers: &HeaderMap, query: Option<&str>, newest: i64) -> Result<Option<i64>, Problem> {
    let in_headers = headers.get_all(LAST_EVENT_ID).into_iter().map(|value| value.to_str().unwrap_or_default());
    let asked: Vec<i64> = in_headers.chain(query).map(parse).collect::<Result<_, _>>()?;
    Ok(asked.into_iter().max().map(|cursor| cursor.min(newest)))
}

fn parse(text: &str) -> Result<i64, Problem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let detail =
            "a cursor is the id of an event, a decimal number: give the last one that you saw, or leave it out";
        return Err(Problem::bad_request(DOMAIN, "invalid_event_cursor", detail));
    }
    // Digits that no id has are of the future.
    Ok(text.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn begun(header: Option<&'static str>, query: Option<&str>) -> Option<Option<i64>> {
        let mut headers = HeaderMap::new();
        headers.extend(header.map(|text| (HeaderName::from_static(LAST_EVENT_ID), HeaderValue::from_static(text))));
        begin(&headers, query, 1_000).ok()
    }

    #[test]
    fn the_larger_cursor_wins_and_none_is_of_the_future() {
        assert_eq!(begun(None, None), Some(None));
        assert_eq!(begun(Some("7"), None), Some(Some(7)));
        assert_eq!(begun(Some("7"), Some("12")), Some(Some(12)));
        assert_eq!(begun(Some("12"), Some("007")), Some(Some(12)));
        assert_eq!(begun(None, Some("1001")), Some(Some(1_000)));
        assert_eq!(begun(None, Some("99999999999999999999999")), Some(Some(1_000)));
    }

    #[test]
    fn whatever_is_not_decimal_is_refused() {
        for bad in ["", " ", "-1", "+1", "1.0", "0x1", "1e3", "seven", "١"] {
            assert_eq!(begun(None, Some(bad)), None, "{bad:?}");
        }
        assert_eq!(begun(Some("x"), Some("1")), None);
    }
}
