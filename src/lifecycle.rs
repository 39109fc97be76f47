//! Stopping: softly on a signal, so that what is under way ends; then hard.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether the daemon takes work. Clones share one answer.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    stop: CancellationToken,
}

impl Phase {
    /// Begins to stop.
    pub fn drain(&self) {
        self.stop.cancel();
    }

    /// Whether the daemon is stopping.
    pub fn is_draining(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the daemon begins to stop.
    pub async fn draining(&self) {
        self.stop.cancelled().await;
    }

    /// For loops that end with the daemon.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }
}

/// Resolves at the first SIGTERM or SIGINT.
pub async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    Ok(())
}
