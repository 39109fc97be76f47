//! Why a request was not let in, and what it is told.

use axum::http::{HeaderValue, StatusCode, header};

use crate::wire::problem::Problem;

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// No `Authorization` header.
    MissingToken,
    /// Something else than one bearer token in it.
    MalformedToken,
    /// Neither of the daemon's tokens.
    InvalidToken,
    /// The read-only token where the admin token is needed.
    InsufficientAccess,
    /// A link to a file that is none of the daemon's, or whose time is over.
    InvalidLink,
    /// A page of an origin that may not call the daemon.
    OriginNotAllowed,
    /// A `Host` that is not this machine, on a daemon without tokens.
    HostNotAllowed,
}

impl Failure {
    /// The problem's code, which is also the reason in the audit file.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::MalformedToken => "malformed_token",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientAccess => "insufficient_access",
            Self::InvalidLink => "invalid_link",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::HostNotAllowed => "host_not_allowed",
        }
    }

    /// The event of the audit file.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::OriginNotAllowed => "cors_origin_rejected",
            Self::HostNotAllowed => "host_rejected",
            _ => "auth_failure",
        }
    }

    /// The event of the audit file when there were too many of them.
    pub(super) fn event_over(self) -> &'static str {
        match self {
            Self::OriginNotAllowed => "cors_origin_rate_limited",
            _ => "auth_rate_limited",
        }
    }

    /// The answer.
    pub(super) fn problem(self) -> Problem {
        let status = match self {
            Self::MissingToken | Self::MalformedToken | Self::InvalidToken | Self::InvalidLink => {
                StatusCode::UNAUTHORIZED
            }
            _ => StatusCode::FORBIDDEN,
        };
        let problem = Problem::new(status, self.domain(), self.code(), self.detail());
        match status {
            StatusCode::UNAUTHORIZED => problem
                .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kheish-daemon\"")),
            _ => problem,
        }
    }

    /// The answer when there were too many of them.
    pub(super) fn too_many(self, wait_ms: u64) -> Problem {
        let detail = format!("too many requests from this address were refused ({}): {}", self.code(), self.detail());
        Problem::too_many_requests(self.domain(), "rate_limited", detail, wait_ms)
    }

    fn domain(self) -> &'static str {
        if self == Self::OriginNotAllowed { "cors" } else { "auth" }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::MissingToken => "send `Authorization: Bearer <token>`",
            Self::MalformedToken => "send one Authorization header of the form `Bearer <token>`",
            Self::InvalidToken => "the token is none of this daemon's",
            Self::InsufficientAccess => "this needs the admin token; the read-only token was sent",
            Self::InvalidLink => "the link is not good, or not any more: ask for a new delivery, or send a token",
            Self::OriginNotAllowed => {
                "pages of this origin may not call the daemon: use one from a loopback address that auth.cors_allow_origins allows"
            }
            Self::HostNotAllowed => {
                "a daemon without tokens answers to localhost and loopback addresses only: call it so, or set an admin token"
            }
        }
    }
}
