//! Limits of files.

use serde::Deserialize;

/// Files that are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssetSettings {
    /// Bytes of one uploaded file.
    pub max_bytes: u64,
    /// Bytes of all files together; further uploads are refused with 507.
    pub total_bytes: u64,
    /// How long an upload may pause, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a file that no run refers to is kept, in milliseconds.
    pub orphan_age_ms: u64,
    /// How often files that nothing refers to are looked for, in milliseconds.
    pub sweep_interval_ms: u64,
    /// How long a link to a file is good for, in milliseconds.
    pub link_life_ms: u64,
}

impl Default for AssetSettings {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            total_bytes: 10_240 * 1024 * 1024,
            idle_timeout_ms: 15_000,
            orphan_age_ms: 86_400_000,
            sweep_interval_ms: 60_000,
            link_life_ms: 900_000,
        }
    }
}
