//! WASI's standard output and error, for language runtimes that print: into the log, bounded.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    WasiCtx,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::logging::{emit, plain};
use crate::connectors::wasm::{bindings::kheish::connector::logging::Level, limits::LogBudget};

/// What one call may print, in bytes.
const PRINTED_BYTES: usize = 64 * 1024;

/// What a guest may ask the random source for at once, in bytes.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Clocks, random numbers and printing; no variable, no file, no network.
pub(in crate::connectors::wasm) fn context() -> WasiCtx {
    let printed = Printed(Arc::new(Mutex::new(LogBudget::new(PRINTED_BYTES))));
    let mut context = WasiCtx::builder();
    context.stdout(printed.clone()).stderr(printed).max_random_size(RANDOM_BYTES);
    context.build()
}

/// Where printed text goes. Synchronous on purpose: the engine's own adapter queues an entry for each empty write, without
/// bound.
#[derive(Clone)]
struct Printed(Arc<Mutex<LogBudget>>);

impl Printed {
    fn print(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let line = plain(line);
            if budget.spend(line.len()) {
                emit(Level::Info, "standard output", &line);
            }
        }
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    /// For WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINTED_BYTES)
    }
}
