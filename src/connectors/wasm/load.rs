//! From the bytes of a file to a plugin that can be called: checked, compiled, linked, and asked what it is. A failure at
//! any step is a sentence about the file and leaves everything as it was.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::Parser;
use wasmtime::{Engine, component::Component};
use wit_component::ComponentEncoder;

use super::{WasmEngine, imports, plugin::WasmPlugin};
use crate::connectors::{Fault, manifest::ManifestError};

/// Why a file is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is too large to be looked at; the limit is in bytes.
    #[error("it has more than {0} bytes (guests.plugin_bytes)")]
    TooLarge(u64),
    /// It is machine code, which is only run when this daemon made it.
    #[error("it holds compiled code: put the `.wasm` file there")]
    Precompiled,
    /// It is not WebAssembly, or broken.
    #[error("it is not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// It is a core module that cannot be made a component.
    #[error("it is a core module without the contract's metadata: build it as a component ({0})")]
    CoreModule(String),
    /// It asks for what there is not.
    #[error("{}", .0.join("; "))]
    Unsatisfied(Vec<String>),
    /// It offers nothing that the host would call.
    #[error("it exports {0}: a connector exports `describe` and `ingress` of `kheish:connector`")]
    NoInterface(String),
    /// It could not describe itself.
    #[error("it could not describe itself: {0}")]
    Describe(#[source] Fault),
    /// Its description breaks the rules.
    #[error("its manifest is wrong: {0}")]
    Manifest(#[from] ManifestError),
    /// The host failed.
    #[error("it could not be compiled: {0}")]
    Host(String),
}

pub(super) async fn load(host: &Arc<WasmEngine>, bytes: Vec<u8>) -> Result<Arc<WasmPlugin>, LoadError> {
    if bytes.len() as u64 > host.settings.plugin_bytes {
        return Err(LoadError::TooLarge(host.settings.plugin_bytes));
    }
    // Compiling takes all of a core and some memory, and a plugin that describes itself takes a slot of the pool.
    let _turn = host.loads.acquire().await.map_err(|_| stopped())?;
    let digest = hex::encode(Sha256::digest(&bytes));
    let component = compile(host, bytes).await?;
    let unsatisfied = imports::unsatisfied(&host.engine, &component);
    if !unsatisfied.is_empty() {
        return Err(LoadError::Unsatisfied(unsatisfied));
    }
    let exported = imports::exported(&host.engine, &component);
    if !["describe", "ingress"].iter().all(|needed| exported.iter().any(|name| name == needed)) {
        let list = if exported.is_empty() { "nothing of the contract".to_owned() } else { exported.join(", ") };
        return Err(LoadError::NoInterface(list));
    }
    WasmPlugin::link(host, &component, &exported, digest).await
}

fn stopped() -> LoadError {
    LoadError::Host("the daemon is stopping".to_owned())
}

/// Compiles on a thread for blocking work.
async fn compile(host: &Arc<WasmEngine>, bytes: Vec<u8>) -> Result<Component, LoadError> {
    let host = Arc::clone(host);
    let compiling = tokio::task::spawn_blocking(move || {
        let component = as_component(bytes)?;
        host.cache.load_or_compile(&host.engine, &component).map_err(|error| LoadError::Invalid(format!("{error:#}")))
    });
    compiling.await.map_err(|error| LoadError::Host(error.to_string()))?
}

/// Refuses what must not be run, and makes a component of a core module that carries the contract's metadata.
fn as_component(bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    if Engine::detect_precompiled(&bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        return Err(LoadError::Invalid("it does not begin as WebAssembly does".to_owned()));
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| LoadError::CoreModule(format!("{error:#}")))
}
