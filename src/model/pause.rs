//! Pauses: a connector that its platform has locked out sends nothing, until somebody mends it or a probe succeeds.

use serde::Serialize;
use utoipa::ToSchema;

/// Why deliveries of a connector wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConnectorPause)]
pub struct Pause {
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// What the platform said last, stable.
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// When one delivery is tried next, in milliseconds since 1970. While one is being tried: when another one would be, if
    /// that one never ended.
    pub next_probe_ms: i64,
}
