//! Who is told of a commit: workers that wait for what it made ready.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::{Notify, broadcast, watch};

use crate::model::ids::RunId;

/// Hints that wait for whoever listens to them; who is further behind misses some.
const HINTS: usize = 4_096;

/// Hints that a commit made work ready. A hint can be lost; the rows are the truth and are looked at now and then.
pub struct Wakes {
    /// A session may be ready.
    pub runs: Notify,
    /// A lane may be ready.
    pub deliveries: Notify,
    /// A file may be due.
    pub downloads: Notify,
    /// How many times the end of an active run was asked for.
    pub cancels: watch::Sender<u64>,
    /// Runs that begin (true) or cease to be performed, in the order of the commits. Nothing durable hangs on it.
    pub performed: broadcast::Sender<(RunId, bool)>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self {
            runs: Notify::default(),
            deliveries: Notify::default(),
            downloads: Notify::default(),
            cancels: watch::Sender::default(),
            performed: broadcast::Sender::new(HINTS),
        }
    }
}

/// Whom to wake after the commit.
#[derive(Default)]
pub(super) struct Wake {
    pub(super) runs: bool,
    /// And again after so many milliseconds.
    pub(super) runs_after: BTreeSet<u64>,
    pub(super) deliveries: bool,
    pub(super) downloads: bool,
    pub(super) cancels: bool,
}

impl Wake {
    /// Wakes them.
    pub(super) fn send(self, wakes: &Arc<Wakes>) {
        if self.runs {
            wakes.runs.notify_waiters();
        }
        for wait_ms in self.runs_after {
            let wakes = Arc::clone(wakes);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                wakes.runs.notify_waiters();
            });
        }
        if self.deliveries {
            wakes.deliveries.notify_waiters();
        }
        if self.downloads {
            wakes.downloads.notify_waiters();
        }
        if self.cancels {
            wakes.cancels.send_modify(|asked| *asked += 1);
        }
    }
}
