//! What guests may import, an interface in each file.

use wasmtime::component::{HasSelf, Linker};

use super::{bindings::kheish::connector as contract, call::State};

mod config;
pub(super) mod http;
mod key_value;
mod logging;
pub(super) mod secrets;
pub(super) mod stdio;

pub(super) use key_value::Effects;

/// The host failed a guest that did nothing wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct HostFailure(pub(super) anyhow::Error);

/// Fills the linker, once.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    contract::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    contract::config::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    contract::http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    contract::key_value::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    contract::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    contract::secrets::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    // Language runtimes import it as a matter of course; behind it there is no file, no variable and no network.
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl contract::types::Host for State {}
