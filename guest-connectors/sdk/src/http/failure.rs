//! What a request without an answer means for what the connector was doing.

use super::{Error, ErrorKind};
use crate::Failure;

impl Error {
    /// Nobody answered, and this is the reason. `sent` says whether the platform may have seen the request.
    pub fn new(kind: ErrorKind, reason: impl Into<String>, sent: bool) -> Self {
        Self { kind, reason: reason.into(), sent }
    }

    /// How a call ends that did nothing but this request: `unknown` when the platform may have seen it, otherwise
    /// `retryable`; `terminal` when it is denied or larger than the host takes, however often it is tried.
    ///
    /// For a request that only reads, [`Self::harmless`] is the better choice.
    pub fn failure(self) -> Failure {
        match (self.kind, self.sent) {
            (_, true) => Failure::unknown(self.code(), self.reason),
            (ErrorKind::Denied | ErrorKind::TooLarge, false) => Failure::terminal(self.code(), self.reason),
            (ErrorKind::Timeout | ErrorKind::Transport, false) => Failure::retryable(self.code(), self.reason),
        }
    }

    /// The same for a request that changes nothing at the platform: repeating it does no harm. What is too large stays so.
    pub fn harmless(self) -> Failure {
        match self.kind {
            ErrorKind::Denied | ErrorKind::TooLarge => Failure::terminal(self.code(), self.reason),
            ErrorKind::Timeout | ErrorKind::Transport => Failure::retryable(self.code(), self.reason),
        }
    }

    /// A short code: `http_denied`, `http_timeout`, `http_transport` or `http_too_large`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Denied => "http_denied",
            ErrorKind::Timeout => "http_timeout",
            ErrorKind::Transport => "http_transport",
            ErrorKind::TooLarge => "http_too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn what_may_have_arrived_is_unknown_and_what_did_not_is_told_apart() {
        for (kind, sent, expected) in [
            (ErrorKind::Denied, false, FailureKind::Terminal),
            (ErrorKind::Timeout, false, FailureKind::Retryable),
            (ErrorKind::Timeout, true, FailureKind::Unknown),
            (ErrorKind::Transport, false, FailureKind::Retryable),
            (ErrorKind::Transport, true, FailureKind::Unknown),
            (ErrorKind::TooLarge, false, FailureKind::Terminal),
            (ErrorKind::TooLarge, true, FailureKind::Unknown),
        ] {
            assert_eq!(Error::new(kind, "no", sent).failure().kind, expected, "{kind:?} {sent}");
        }
        assert_eq!(Error::new(ErrorKind::Timeout, "no", true).harmless().kind, FailureKind::Retryable);
    }
}
