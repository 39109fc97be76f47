//! How an attempt ended, in the dispatcher's terms, whoever made it.

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The target took it.
    Delivered {
        /// What the platform calls it.
        platform_id: Option<String>,
        /// What else it said, as JSON text.
        detail: Option<String>,
    },
    /// Another try may succeed.
    Retry {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
        /// When the target said to come back, in milliseconds from now.
        after_ms: Option<i64>,
        /// Whether this attempt counts: not when the target asked to wait.
        counts: bool,
    },
    /// The platform has locked the connector out: nothing of it can succeed until somebody mends that.
    LockedOut {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
        /// When the platform said to come back, in milliseconds from now.
        after_ms: Option<i64>,
    },
    /// It may or may not have arrived: it is not sent again unless somebody says so.
    Unknown {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
    },
    /// It will not succeed however often it is tried.
    Dead {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
    },
}

pub(super) fn dead(code: &str, detail: String) -> Sent {
    Sent::Dead { code: code.to_owned(), detail }
}
