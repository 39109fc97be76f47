//! Bounds of the requests that guests make.

use serde::Deserialize;

/// Bounds of the requests that guests make.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestSettings {
    /// How long one may take in all, in milliseconds; the call's own deadline holds too.
    pub timeout_ms: u64,
    /// The same for one that sends a file or keeps its answer as one, in milliseconds.
    pub file_timeout_ms: u64,
    /// Size of a body that a guest writes, in bytes.
    pub body_bytes: usize,
    /// Size of an answer's body that a guest reads, in bytes.
    pub response_bytes: usize,
    /// Size of all headers of one request, or of its answer, in bytes.
    pub header_bytes: usize,
    /// Requests of one call.
    pub per_call: u32,
    /// Requests in flight at once, of one connector.
    pub per_connector: usize,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            timeout_ms: 20_000,
            file_timeout_ms: 120_000,
            body_bytes: 4 * 1024 * 1024,
            response_bytes: 4 * 1024 * 1024,
            header_bytes: 32 * 1024,
            per_call: 64,
            per_connector: 16,
        }
    }
}
