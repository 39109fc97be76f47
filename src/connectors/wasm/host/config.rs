//! `config`: the connector's name and settings.

use crate::connectors::wasm::{bindings::kheish::connector::config::Host, call::State};

impl Host for State {
    fn name(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.as_ref().map(|context| context.connector.name.clone()).unwrap_or_default())
    }

    fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.as_ref().map_or_else(|| "{}".to_owned(), |context| context.settings.clone()))
    }
}
