//! What every refusal looks like (contract section 1.2).

use serde_json::Value;

use crate::client::Answer;

/// Titles that the contract names; others are the daemon's choice.
const TITLES: [(u16, &str); 11] = [
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (409, "Conflict"),
    (413, "Payload Too Large"),
    (422, "Unprocessable Entity"),
    (429, "Too Many Requests"),
    (500, "Internal Server Error"),
    (503, "Service Unavailable"),
];

/// Refusals of connector routes carry this domain.
pub const INGRESS: &str = "connector_ingress";

impl Answer {
    /// Asserts a whole problem document with this status, domain and code, and returns its sentence.
    #[track_caller]
    pub fn problem(&self, status: u16, domain: &str, code: &str) -> String {
        let detail = self.problem_of(status, domain);
        assert_eq!(self.text("/code"), code, "{}", self.json);
        detail
    }

    /// The same where the code is the plugin's own affair; it must still be a good one.
    #[track_caller]
    pub fn problem_of(&self, status: u16, domain: &str) -> String {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{shown}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{shown}");
        let code = self.text("/code");
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(!code.is_empty() && code.bytes().all(plain), "{shown}");
        assert_eq!(self.text("/type"), format!("urn:kheish:problem:{code}"), "{shown}");
        assert_eq!(self.json["status"], Value::from(status), "{shown}");
        assert_eq!(self.text("/domain"), domain, "{shown}");
        assert!(!self.text("/detail").trim().is_empty(), "{shown}");
        match TITLES.iter().find(|(listed, _)| *listed == status) {
            // 413 has two names; both are the reason phrase of some standard.
            Some((413, _)) => {
                assert!(["Payload Too Large", "Content Too Large"].contains(&self.text("/title")), "{shown}")
            }
            Some((_, title)) => assert_eq!(self.text("/title"), *title, "{shown}"),
            None => assert!(!self.text("/title").is_empty(), "{shown}"),
        }
        self.text("/detail").to_owned()
    }
}
