//! Sandboxed plugins: one component, one kind, a fresh instance for every call.
//!
//! One [`WasmEngine`] per process. Loading a file ([`load`]) checks, compiles and links it once; a call ([`call`])
//! makes a store, instantiates, calls and drops both, so that no two calls ever share memory, and nothing is reused after
//! a trap, a deadline or a limit. What guests may import is in [`host`]; what comes back is checked in [`convert`].

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;
use tokio::sync::Semaphore;
use wasmtime::{Engine, component::Linker};

use crate::egress::Egress;

mod allocation;
mod bindings;
mod cache;
mod call;
mod convert;
mod host;
mod imports;
mod limits;
mod load;
mod plugin;
mod settings;
mod ticker;

use allocation::Allocation;
use cache::CompiledCode;
use call::State;
use host::http::Outside;
pub use load::LoadError;
pub use plugin::WasmPlugin;
pub use settings::RequestSettings;
use ticker::Ticker;

/// Bounds of guests.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Calls in flight at once, of all connectors together.
    pub concurrent_calls: usize,
    /// Calls in flight at once, of one connector.
    pub calls_per_connector: usize,
    /// Deliveries in flight at once, of all connectors together, beside the calls.
    pub concurrent_deliveries: usize,
    /// Polls in flight at once, of all connectors, beside the calls; further ones wait.
    pub concurrent_polls: usize,
    /// Deliveries in flight at once, of one connector.
    pub deliveries_per_connector: usize,
    /// How long a call may wait for its turn, in milliseconds; then the caller gets 503, and a delivery is put off.
    pub queue_timeout_ms: u64,
    /// How long an ingress call may take, and one that checks a reply route, in milliseconds.
    pub ingress_deadline_ms: u64,
    /// How long a delivery, or a look-up, may take, in milliseconds. With the wait for its turn it is shorter than the lease of a
    /// lane.
    pub delivery_deadline_ms: u64,
    /// How long a poll may take, in milliseconds.
    pub poll_deadline_ms: u64,
    /// Files that are fetched at once, of all connectors together.
    pub concurrent_downloads: usize,
    /// Files that are fetched at once, of one connector.
    pub downloads_per_connector: usize,
    /// How long fetching one file may take, in milliseconds.
    pub download_deadline_ms: u64,
    /// Signs that an answer is on its way that are sent at once, of all connectors together; further ones are left out.
    pub concurrent_signs: usize,
    /// How long sending such a sign may take, in milliseconds.
    pub sign_deadline_ms: u64,
    /// How long a plugin may take to describe itself or to check settings, in milliseconds.
    pub describe_deadline_ms: u64,
    /// Memory of one instance, all its memories together, in bytes.
    pub memory_bytes: usize,
    /// Memory of a pool slot that is wiped in place rather than given back to the system, in bytes. Near what small guests
    /// touch, a call costs no page fault; resident memory grows by this for every call that was ever in flight at once.
    pub keep_resident_bytes: usize,
    /// What the host copies out of one call, in bytes.
    pub result_bytes: usize,
    /// What one call may log, in bytes; the rest is counted and dropped.
    pub log_bytes: usize,
    /// Size of a plugin file, in bytes.
    pub plugin_bytes: u64,
    /// Plugins loaded at once: compiled, and asked what they are.
    pub concurrent_loads: usize,
    /// Requests that they make.
    pub requests: RequestSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            concurrent_calls: 64,
            calls_per_connector: 8,
            concurrent_deliveries: 32,
            concurrent_polls: 32,
            deliveries_per_connector: 8,
            queue_timeout_ms: 1_000,
            ingress_deadline_ms: 2_000,
            delivery_deadline_ms: 30_000,
            poll_deadline_ms: 75_000,
            concurrent_downloads: 16,
            downloads_per_connector: 4,
            download_deadline_ms: 120_000,
            concurrent_signs: 16,
            sign_deadline_ms: 3_000,
            describe_deadline_ms: 2_000,
            memory_bytes: 64 * 1024 * 1024,
            keep_resident_bytes: 256 * 1024,
            result_bytes: 16 * 1024 * 1024,
            log_bytes: 64 * 1024,
            plugin_bytes: 64 * 1024 * 1024,
            concurrent_loads: 1,
            requests: RequestSettings::default(),
        }
    }
}

/// The process's one engine, with everything that calls share.
pub struct WasmEngine {
    engine: Engine,
    ticker: Ticker,
    linker: Linker<State>,
    outside: Arc<Outside>,
    /// The same for polls, which wait for the platform as long as they may.
    outside_of_polls: Arc<Outside>,
    settings: EngineSettings,
    allocation: Allocation,
    cache: CompiledCode,
    calls: Semaphore,
    deliveries: Semaphore,
    polls: Semaphore,
    signs: Semaphore,
    loads: Semaphore,
}

impl WasmEngine {
    /// Builds the engine and starts its clock. Compiled code is kept in `cache`, a folder that nobody else may write to;
    /// requests of guests go through `egress`.
    pub fn new(settings: EngineSettings, cache: PathBuf, egress: Arc<Egress>) -> anyhow::Result<Arc<Self>> {
        let (engine, allocation) = allocation::build(&settings)?;
        let clock = engine.weak();
        let ticker = Ticker::start(move || clock.upgrade().iter().for_each(Engine::increment_epoch))?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        Ok(Arc::new(Self {
            cache: CompiledCode::open(cache, &engine)?,
            calls: Semaphore::new(settings.concurrent_calls.max(1)),
            deliveries: Semaphore::new(settings.concurrent_deliveries.max(1)),
            polls: Semaphore::new(settings.concurrent_polls.max(1)),
            signs: Semaphore::new(settings.concurrent_signs),
            loads: Semaphore::new(settings.concurrent_loads.max(1)),
            outside_of_polls: Arc::new(Outside {
                egress: Arc::clone(&egress),
                settings: RequestSettings { timeout_ms: settings.poll_deadline_ms, ..settings.requests.clone() },
            }),
            outside: Arc::new(Outside { egress, settings: settings.requests.clone() }),
            engine,
            ticker,
            linker,
            settings,
            allocation,
        }))
    }

    /// Loads a plugin from the bytes of its file. Compiling happens on a thread of its own.
    pub async fn load(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Arc<WasmPlugin>, LoadError> {
        load::load(self, bytes).await
    }

    /// Size of a plugin file that is looked at, in bytes.
    pub fn plugin_bytes(&self) -> u64 {
        self.settings.plugin_bytes
    }

    /// How memory for instances is allocated, for people.
    pub fn allocation(&self) -> &'static str {
        self.allocation.name()
    }
}
