//! Settings: defaults, then the file of `--config`, then environment variables and flags. Unknown keys are refused.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::{
    connectors::wasm::EngineSettings, delivery::DeliverySettings, egress::EgressSettings, executor::ExecutorKind,
    queue::QueueSettings, store::StoreSettings,
};

pub mod connectors;
pub mod located;
pub mod server;

use server::ServerSettings;

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the HTTP server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder with the daemon's state. One daemon at a time.
    pub state_root: PathBuf,
    /// The folder with plugins; `plugins` in the state folder when absent.
    pub plugins: Option<PathBuf>,
    /// The file with connectors.
    pub connectors_config: Option<PathBuf>,
    /// The database; the embedded one in the state folder when absent.
    pub database_url: Option<String>,
    /// Who performs runs.
    pub executor: ExecutorKind,
    /// The HTTP server.
    pub server: ServerSettings,
    /// The store.
    pub store: StoreSettings,
    /// Sandboxed plugins.
    pub guests: EngineSettings,
    /// Runs.
    pub queue: QueueSettings,
    /// Deliveries.
    pub delivery: DeliverySettings,
    /// Outbound HTTP.
    pub egress: EgressSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            state_root: PathBuf::from("kheish-state"),
            plugins: None,
            connectors_config: None,
            database_url: None,
            executor: ExecutorKind::default(),
            server: ServerSettings::default(),
            store: StoreSettings::default(),
            guests: EngineSettings::default(),
            queue: QueueSettings::default(),
            delivery: DeliverySettings::default(),
            egress: EgressSettings::default(),
        }
    }
}

impl Settings {
    /// The plugin folder.
    pub fn plugin_folder(&self) -> PathBuf {
        self.plugins.clone().unwrap_or_else(|| self.state_root.join("plugins"))
    }
}
