//! The engine's clock: a thread of its own, because a busy runtime would stop its own watchdog. It stands while no guest runs, so
//! that a daemon that waits is not woken a hundred times a second.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long a guest computes before it must let others run.
const TICK: Duration = Duration::from_millis(10);

/// The clock. It ends with this.
pub(super) struct Ticker(Arc<Calls>);

#[derive(Default)]
struct Calls {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    over: bool,
}

/// A call during which the clock goes.
pub(super) struct Running<'t>(&'t Calls);

impl Ticker {
    /// Calls `tick` again and again while a call runs, the first time no sooner than a whole tick after it began.
    pub(super) fn start(mut tick: impl FnMut() + Send + 'static) -> std::io::Result<Self> {
        let calls = Arc::new(Calls::default());
        let own = Arc::clone(&calls);
        thread::Builder::new().name("guest-clock".to_owned()).spawn(move || {
            while own.wait_for_one() {
                thread::sleep(TICK);
                tick();
            }
        })?;
        Ok(Self(calls))
    }

    /// Lets the clock go until this is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        let mut state = self.0.lock();
        state.running += 1;
        if state.running == 1 {
            self.0.changed.notify_one();
        }
        Running(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call runs. False when there will be none any more.
    fn wait_for_one(&self) -> bool {
        let idle = |state: &mut State| state.running == 0 && !state.over;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        !state.over
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Many ticks.
    const LONG: Duration = Duration::from_millis(200);

    #[test]
    fn it_goes_while_a_call_runs_and_ends_with_its_owner() {
        // Each tick waits until it is received.
        let (send, ticks) = mpsc::sync_channel(0);
        let ticker = Ticker::start(move || send.send(()).unwrap_or_default()).unwrap();
        ticks.recv_timeout(LONG).unwrap_err();
        let (one, other) = (ticker.run(), ticker.run());
        ticks.recv().unwrap();
        drop(one);
        ticks.recv().unwrap();
        drop(other);
        // The one that was on its way.
        ticks.recv_timeout(LONG).ok();
        ticks.recv_timeout(LONG).unwrap_err();
        drop(ticker);
        ticks.recv().unwrap_err();
    }
}
