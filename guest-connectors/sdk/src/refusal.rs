//! Refusals: the caller's mistake.

use crate::Refusal;

/// Longer reasons are cut: they can quote what the caller sent.
const MAX_REASON_BYTES: usize = 500;

impl Refusal {
    /// A refusal with a status from 400 to 499, a stable code of `[a-z0-9_]`, and one sentence that tells the caller
    /// what to change.
    pub fn new(status: u16, code: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        if reason.len() > MAX_REASON_BYTES {
            reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
            reason.push('…');
        }
        Self { status, code: code.into(), reason }
    }

    /// A refusal with status 400.
    pub fn bad_request(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(400, code, reason)
    }

    /// Status 404: the connector has one route, and this is below it.
    pub fn route_not_found(subpath: &str) -> Self {
        Self::new(
            404,
            "route_not_found",
            format!("There is nothing at `{subpath}` below this connector's route: send to the route itself."),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let refusal = Refusal::bad_request("x", "é".repeat(400));
        assert_eq!(refusal.reason, format!("{}…", "é".repeat(250)));
    }
}
