//! The process as others on the machine meet it: what they may see of it, and how they stop it, softly on a signal, so that
//! what is under way ends, then hard.

use std::time::Duration;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Takes what this process holds away from other programs of the same user: its environment, memory and open files below
/// `/proc` are root's from now on, and root alone may trace it. It leaves no core dump. A program that it starts is its own
/// again.
pub fn conceal() -> std::io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

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

/// Tasks that end together, when they are told to.
#[derive(Default)]
pub struct Stage {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Stage {
    /// Of tasks that end with `stop`.
    pub fn until(stop: CancellationToken) -> Self {
        Self { stop, tasks: JoinSet::new() }
    }

    /// For its tasks: they shall end.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Begins one.
    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Tells them to end, and cuts off those that do not within so long. Says whether all of them did.
    pub async fn end(&mut self, within: Duration) -> bool {
        self.stop.cancel();
        let ended = timeout(within, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
        ended.is_ok()
    }
}

/// Signals that ask the daemon to stop, heard from when this is made.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes SIGTERM and SIGINT over from the system, which would end the process on the spot.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the first one.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}
