//! What sidecars say of themselves (contract section 4.2). Members that are absent have the protocol's defaults.

use serde::Deserialize;

/// The version of the runtime protocol: manifest, health, deliveries.
pub(super) const RUNTIME_VERSION: u64 = 1;

/// `GET /manifest`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SidecarManifest {
    #[serde(default = "current")]
    pub(super) protocol_version: u64,
    #[serde(default)]
    pub(super) instance_id: String,
    #[serde(default)]
    pub(super) capabilities: Capabilities,
}

/// What a sidecar can do.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    /// Whether it takes files along with deliveries.
    pub(super) attachments_out: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { attachments_out: true }
    }
}

/// `GET /health`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Report {
    #[serde(default = "current")]
    pub(super) protocol_version: u64,
    #[serde(default)]
    pub(super) instance_id: String,
    pub(super) status: ReportedStatus,
    pub(super) detail: Option<String>,
}

/// How a sidecar says that it fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportedStatus {
    Starting,
    Ready,
    Degraded,
    Draining,
}

/// The answer to `POST /deliver`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Verdict {
    pub(super) status: Outcome,
    pub(super) detail: Option<String>,
}

/// What a sidecar made of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Committed,
    RetryableError,
    TerminalError,
}

fn current() -> u64 {
    RUNTIME_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_its_default() {
        let manifest: SidecarManifest = serde_json::from_str("{}").unwrap();
        assert!(manifest.capabilities.attachments_out && manifest.protocol_version == 1);
        let manifest: SidecarManifest =
            serde_json::from_str(r#"{"capabilities":{"attachments_out":false,"new":1},"new":2}"#).unwrap();
        assert!(!manifest.capabilities.attachments_out);
        assert!(serde_json::from_str::<Report>("{}").is_err());
        assert!(serde_json::from_str::<Verdict>(r#"{"status":"done"}"#).is_err());
    }
}
