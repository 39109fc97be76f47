//! Signals that ask a guard to end, and do not end it.
//!
//! Whoever asks all processes of a service at once to end (systemd does, a terminal that closes may) asks guards too. A
//! guard that went by that would leave its program to be killed in the middle of what it does. It ends when its socket says
//! so; these signals do nothing. They are handled and not ignored, because programs inherit what is ignored.

use std::io;

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// Keeps the signals from ending this process for as long as it is there.
pub(super) struct Outlived {
    _signals: [Signal; 3],
    _runtime: Runtime,
}

/// Takes SIGTERM, SIGINT and SIGHUP over from the system.
pub(super) fn outlive() -> io::Result<Outlived> {
    // It runs nothing: signals cannot be taken over without one.
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    drop(entered);
    Ok(Outlived { _signals: signals, _runtime: runtime })
}
