//! Places for work under way: a bounded number of tasks, and an end that waits for them.

use std::{future::Future, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// A bounded number of places for tasks.
pub struct Places {
    free: Arc<Semaphore>,
    under_way: TaskTracker,
}

/// A place that is taken; free again when dropped.
pub struct Place(OwnedSemaphorePermit);

impl Places {
    /// So many places, at least one.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count.max(1))), under_way: TaskTracker::new() }
    }

    /// Waits until a place is free and takes all that are, so that a busy loop waits for a place rather than for work.
    pub async fn take_free(&self) -> Vec<Place> {
        let mut taken = Vec::from_iter(Arc::clone(&self.free).acquire_owned().await);
        while let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            taken.push(place);
        }
        taken.into_iter().map(Place).collect()
    }

    /// Does some work in a place.
    pub fn spawn(&self, Place(place): Place, work: impl Future<Output = ()> + Send + 'static) {
        self.under_way.spawn(async move {
            work.await;
            drop(place);
        });
    }

    /// Waits until nothing is under way.
    pub async fn emptied(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
}
