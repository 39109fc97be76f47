//! The HTTP server's limits.

use serde::Deserialize;

/// The HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Size of a connector request's body, in bytes.
    pub body_limit_bytes: usize,
    /// Size of a control-plane request's body, in bytes (contract section 1.4).
    pub control_body_limit_bytes: usize,
    /// How long a request's head may take to arrive, and an idle connection may stay, in milliseconds.
    pub header_read_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds.
    pub body_read_timeout_ms: u64,
    /// How long requests, runs and deliveries in progress may take to end after a signal, in milliseconds.
    pub shutdown_grace_ms: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            body_limit_bytes: 2 * 1024 * 1024,
            control_body_limit_bytes: 24 * 1024 * 1024,
            header_read_timeout_ms: 30_000,
            body_read_timeout_ms: 15_000,
            shutdown_grace_ms: 10_000,
        }
    }
}
