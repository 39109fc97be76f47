//! Who may use the control plane (contract section 1.1): the mode, where tokens come from, and the limits around them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When a token is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Where one is set. Without one the daemon listens on loopback addresses only.
    #[default]
    Auto,
    /// Always; without an admin token the daemon does not start.
    Bearer,
    /// Never; the daemon listens on loopback addresses only.
    None,
}

/// The control plane's door. Tokens themselves come from variables or from files, never from the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// When a token is demanded.
    pub mode: AuthMode,
    /// The file with the admin token. A variable goes before it.
    pub admin_token_file: Option<PathBuf>,
    /// The file with the read-only token. A variable goes before it.
    pub readonly_token_file: Option<PathBuf>,
    /// Origins whose pages may call the daemon, loopback ones only; every loopback origin when empty.
    pub cors_allow_origins: Vec<String>,
    /// Refusals for one reason to one address within the window; further ones are 429.
    pub failure_limit: u32,
    /// The window that refusals are counted in, in milliseconds.
    pub failure_window_ms: u64,
    /// Size of the audit file, in bytes; then a new one is begun and one old one kept.
    pub audit_bytes: u64,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            mode: AuthMode::default(),
            admin_token_file: None,
            readonly_token_file: None,
            cors_allow_origins: Vec::new(),
            failure_limit: 60,
            failure_window_ms: 60_000,
            audit_bytes: 10 * 1024 * 1024,
        }
    }
}
