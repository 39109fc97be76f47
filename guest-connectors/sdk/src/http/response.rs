//! Reading an answer.

use serde::de::DeserializeOwned;

use super::Response;
use crate::Header;

impl Response {
    /// An answer as tests write it.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), asset_id: None }
    }

    /// Adds a header, as tests write it.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Names the stored body, as tests write it.
    #[must_use]
    pub fn with_asset(mut self, asset_id: impl Into<String>) -> Self {
        self.asset_id = Some(asset_id.into());
        self
    }

    /// Whether the status is a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.as_str())
    }

    /// The body, decoded.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What `Retry-After` asks for, in milliseconds. Seconds only: a component has no clock to read a date by.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let seconds: u64 = self.header("retry-after")?.trim().parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_seconds_is_read_and_a_date_is_not() {
        let answer = |value: &str| Response::new(429, "").with_header("Retry-After", value).retry_after_ms();
        assert_eq!(answer("7"), Some(7_000));
        assert_eq!(answer("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(Response::new(429, "").retry_after_ms(), None);
    }
}
