//! How many rows there are, for those who look at the daemon: exact while counting is quick, and a few seconds old once it is
//! not.
//!
//! Nothing is counted when rows are written: triggers would make every write dearer, and the writers of a server wait for each
//! other's counts.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::Instant};

use super::{Store, StoreError, deliveries, runs, sessions};
use crate::model::{delivery::DeliveryStatus, run::RunStatus};

const QUICK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_millis(20);

/// Rows by status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallies {
    /// How many runs stand where; every status is in it.
    pub runs: Vec<(RunStatus, i64)>,
    /// How many parts of deliveries stand where; every status is in it.
    pub deliveries: Vec<(DeliveryStatus, i64)>,
    /// How many sessions there are.
    pub sessions: i64,
    /// Sessions with a run that waits, by executor as the session has it.
    pub waiting: Vec<(String, i64)>,
}

/// What was counted.
#[derive(Debug)]
pub struct Counted<T> {
    /// The numbers.
    pub value: T,
    began: Instant,
    took: Duration,
}

impl<T> Counted<T> {
    /// How old the numbers are.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The last count of something.
pub(super) struct Kept<T> {
    last: ArcSwapOption<Counted<T>>,
    /// Held by whoever counts: one at a time, so that those who ask do not take every connection.
    turn: Mutex<()>,
    bounds: Bounds,
}

/// How long things may take.
#[derive(Clone, Copy)]
struct Bounds {
    /// Counting that takes no longer is done for everybody who asks.
    quick: Duration,
    /// For how long other counts are good.
    age: Duration,
    /// How long whoever asks waits where there is an older count.
    patience: Duration,
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Nothing was counted yet. A count that was not quick is good for `age_ms`.
    pub(super) fn new(age_ms: u64) -> Arc<Self> {
        Self::with(Bounds { quick: QUICK, age: Duration::from_millis(age_ms), patience: PATIENCE })
    }

    fn with(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { last: ArcSwapOption::empty(), turn: Mutex::default(), bounds })
    }

    /// What `count` says: now, or a while ago when counting takes long. It goes on when the caller does not wait for it, and
    /// is there for the next one.
    pub(super) async fn get(
        self: &Arc<Self>,
        count: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Arc<Counted<T>>, StoreError> {
        if let Some(good) = self.good() {
            return Ok(good);
        }
        let (own, former) = (Arc::clone(self), self.dear());
        let counting = tokio::spawn(async move { own.renew(count).await });
        let counting = async { counting.await.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string()))) };
        match former {
            Some(former) => tokio::time::timeout(self.bounds.patience, counting).await.unwrap_or(Ok(former)),
            None => counting.await,
        }
    }

    async fn renew(
        &self,
        count: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<Arc<Counted<T>>, StoreError> {
        let _turn = self.turn.lock().await;
        // Somebody may have counted meanwhile.
        if let Some(good) = self.good() {
            return Ok(good);
        }
        let began = Instant::now();
        let value = count.await?;
        let counted = Arc::new(Counted { value, began, took: began.elapsed() });
        self.last.store(Some(Arc::clone(&counted)));
        Ok(counted)
    }

    /// The last count, when it took long.
    fn dear(&self) -> Option<Arc<Counted<T>>> {
        self.last.load_full().filter(|last| last.took >= self.bounds.quick)
    }

    /// The same, while it is young enough for everybody.
    fn good(&self) -> Option<Arc<Counted<T>>> {
        self.dear().filter(|last| last.age().saturating_sub(last.took) < self.bounds.age)
    }
}

/// How many rows there are, of all that the status shows.
pub async fn read(store: &Store) -> Result<Arc<Counted<Tallies>>, StoreError> {
    let own = store.clone();
    let count = async move {
        Ok(Tallies {
            runs: runs::tally(&own).await?,
            deliveries: deliveries::read::tally(&own).await?,
            sessions: sessions::count(&own).await?,
            waiting: sessions::waiting(&own).await?,
        })
    };
    store.tallies.get(count).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);
    const NONE: Duration = Duration::ZERO;
    /// Everything is quick.
    const SMALL: Bounds = Bounds { quick: LONG, age: LONG, patience: LONG };
    /// Nothing is.
    const LARGE: Bounds = Bounds { quick: NONE, age: LONG, patience: LONG };

    /// Counts how often it counts.
    async fn next(kept: &Arc<Kept<u64>>, counts: &Arc<AtomicU64>) -> u64 {
        let counts = Arc::clone(counts);
        kept.get(async move { Ok(counts.fetch_add(1, Ordering::SeqCst) + 1) }).await.unwrap().value
    }

    #[tokio::test]
    async fn what_is_quick_is_counted_for_everybody() {
        let (kept, counts) = (Kept::with(SMALL), Arc::default());
        for expected in 1..4 {
            assert_eq!(next(&kept, &counts).await, expected);
        }
    }

    #[tokio::test]
    async fn what_takes_long_is_kept_for_a_while() {
        let (kept, counts) = (Kept::with(LARGE), Arc::default());
        for _ in 0..3 {
            assert_eq!(next(&kept, &counts).await, 1);
        }
        let (kept, counts) = (Kept::with(Bounds { age: NONE, ..LARGE }), Arc::default());
        for expected in 1..4 {
            assert_eq!(next(&kept, &counts).await, expected, "it is too old at once");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_long_where_there_is_an_older_count() {
        let kept = Kept::with(Bounds { age: NONE, patience: NONE, ..LARGE });
        kept.get(async { Ok(1) }).await.unwrap();
        let (end, ended) = oneshot::channel::<u64>();
        let (done, is_done) = oneshot::channel();
        let slow = async move {
            let value = ended.await.map_err(|_| StoreError::Overloaded)?;
            done.send(()).ok();
            Ok(value)
        };
        assert_eq!(kept.get(slow).await.unwrap().value, 1, "the older one");
        end.send(2).unwrap();
        is_done.await.unwrap();
        let _turn = kept.turn.lock().await;
        assert_eq!(kept.dear().map(|last| last.value), Some(2), "it was counted to the end for the next one");
    }

    #[tokio::test]
    async fn a_count_that_fails_is_told_and_not_kept() {
        let kept = Kept::<u64>::with(LARGE);
        let failed = kept.get(async { Err(StoreError::Overloaded) }).await;
        assert!(matches!(failed, Err(StoreError::Overloaded)));
        assert_eq!(kept.get(async { Ok(1) }).await.unwrap().value, 1);
    }
}
