//! The engine's clock: a thread of its own, because a busy runtime would stop its own watchdog.

use std::{thread, time::Duration};

use wasmtime::Engine;

/// How long a guest computes before it must let others run.
const TICK: Duration = Duration::from_millis(10);

/// Ticks for as long as the engine is in use.
pub(super) fn start(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = thread::Builder::new().name("guest-clock".to_owned());
    ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
