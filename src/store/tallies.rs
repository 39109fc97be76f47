//! How many rows there are, for those who look at the daemon: exact while there are few, and a few seconds old once there are
//! many.
//!
//! Nothing is counted when rows are written: triggers would make every write dearer, and the writers of a server wait for each
//! other's counts.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::Instant};

use super::{Store, StoreError, deliveries, runs, sessions};
use crate::{
    metrics::gauges::Backlog,
    model::{delivery::DeliveryStatus, run::RunStatus},
};

/// So many rows, and counting them takes long.
const MANY: i64 = 100_000;
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

/// Something that is counted.
pub(super) trait Count {
    /// How many rows were looked at for it, about.
    fn rows(&self) -> i64;
}

impl Count for Tallies {
    fn rows(&self) -> i64 {
        let runs: i64 = self.runs.iter().map(|(_, count)| count).sum();
        let deliveries: i64 = self.deliveries.iter().map(|(_, count)| count).sum();
        runs + deliveries + self.sessions
    }
}

impl Count for Backlog {
    fn rows(&self) -> i64 {
        let deliveries =
            self.deliveries_pending + self.deliveries_sending + self.deliveries_unknown + self.dead_letters;
        self.sessions_ready + self.sessions_busy + deliveries
    }
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

/// When counts are kept, and for how long.
#[derive(Clone, Copy)]
struct Bounds {
    /// Fewer rows are counted for everybody who asks. How long that took would say nothing on a machine that is busy.
    many: i64,
    /// For how long other counts are good.
    age: Duration,
    /// How long whoever asks waits where there is an older count.
    patience: Duration,
}

impl<T: Count + Send + Sync + 'static> Kept<T> {
    /// Nothing was counted yet. A count of many rows is good for `age_ms`.
    pub(super) fn new(age_ms: u64) -> Arc<Self> {
        Self::with(Bounds { many: MANY, age: Duration::from_millis(age_ms), patience: PATIENCE })
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

    /// The last count, when there were many rows.
    fn dear(&self) -> Option<Arc<Counted<T>>> {
        self.last.load_full().filter(|last| last.value.rows() >= self.bounds.many)
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
    /// Few rows, whatever there is.
    const SMALL: Bounds = Bounds { many: i64::MAX, age: LONG, patience: LONG };
    /// Many rows.
    const LARGE: Bounds = Bounds { many: 0, age: LONG, patience: LONG };

    impl Count for u64 {
        fn rows(&self) -> i64 {
            0
        }
    }

    /// Counts how often it counts.
    async fn next(kept: &Arc<Kept<u64>>, counts: &Arc<AtomicU64>) -> u64 {
        let counts = Arc::clone(counts);
        kept.get(async move { Ok(counts.fetch_add(1, Ordering::SeqCst) + 1) }).await.unwrap().value
    }

    #[tokio::test]
    async fn few_rows_are_counted_for_everybody() {
        let (kept, counts) = (Kept::with(SMALL), Arc::default());
        for expected in 1..4 {
            assert_eq!(next(&kept, &counts).await, expected);
        }
    }

    #[tokio::test]
    async fn a_count_of_many_rows_is_kept_for_a_while() {
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
