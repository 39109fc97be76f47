//! The one writer: groups whatever is waiting into one commit.
//!
//! The flush of a commit costs more than the rows in it, so the previous flush is the batching window: commands that
//! arrive meanwhile share the next one, and a lonely command does not wait. Commands of one type are applied together. When
//! that fails the transaction begins again with savepoints, at first around all of a type, then around each of those that
//! failed together, so that a bad one cannot fail its neighbours. Savepoints copy every page that changes, which is why
//! they come second. Callers hear after the commit, never before.

use std::{future::Future, sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    StoreError, StoreSettings,
    fold::Folding,
    sql::{Connection, Dialect, Query, Row},
};
use crate::{
    metrics::Metrics,
    model::{happening::Happening, ids::RunId},
};

mod group;
pub(super) mod log;
mod wakes;

use group::{Batch, Guard, Job};
use log::{Log, Place};
use wakes::Wake;
pub use wakes::Wakes;

/// How often a transaction is tried that PostgreSQL breaks off because two of them wait for each other. Locks are taken in
/// one order within a statement, not over all statements of a transaction, so it happens and helps to try again.
const DEADLOCK_TRIES: u32 = 20;

/// SQLite's result code for a disk without room.
const SQLITE_FULL: &str = "13";

/// A write. Values in, reply out; decided and applied inside the writer's transaction.
pub trait Command: Send + Sync + Sized + 'static {
    /// What the caller hears once the write is durable. Refusals are replies too: a command that refuses writes nothing.
    type Reply: Send + 'static;

    /// Applies commands of this type that share a commit, in order, and returns a reply for each. Called with several
    /// at once where several wait, and again with one alone when that failed. Awaits nothing but `tx`.
    fn apply(batch: &[Self], tx: &mut Tx<'_>) -> impl Future<Output = Result<Vec<Self::Reply>, StoreError>> + Send;
}

/// The transaction that commands write to.
pub struct Tx<'c> {
    connection: &'c mut Connection,
    wake: Wake,
    recorded: Vec<Happening>,
}

impl<'c> Tx<'c> {
    /// Runs a statement that answers with rows.
    pub async fn fetch(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.connection.fetch(query).await
    }

    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, query: Query) -> Result<u64, StoreError> {
        self.connection.execute(query).await
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// Wakes workers after the commit: a session may be ready.
    pub fn wake_runs(&mut self) {
        self.wake.runs = true;
    }

    /// Wakes workers so many milliseconds after the commit: a session is ready then.
    pub fn wake_runs_after(&mut self, wait_ms: i64) {
        self.wake.runs_after.insert(wait_ms.unsigned_abs());
    }

    /// Wakes the dispatcher after the commit: a lane may be ready.
    pub fn wake_deliveries(&mut self) {
        self.wake.deliveries = true;
    }

    /// Wakes those who fetch files after the commit: a run waits for one.
    pub fn wake_downloads(&mut self) {
        self.wake.downloads = true;
    }

    /// Tells the daemon's own workers after the commit: a run that one of them may hold shall end.
    pub fn wake_cancels(&mut self) {
        self.wake.cancels = true;
    }

    /// Tells streams of a change. It becomes a row of the event log in this transaction, and is forgotten with a command
    /// that fails, so that nobody hears of what is not durable.
    pub fn record(&mut self, happening: Happening) {
        self.recorded.push(happening);
    }

    async fn run(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.execute(Query::new(text)).await.map(drop)
    }
}

/// A handle to the writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Order>,
    wakes: Arc<Wakes>,
    failed: watch::Receiver<bool>,
    newest_event: watch::Receiver<i64>,
}

enum Order {
    Run(Job),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn start(
        (connection, folding): (Connection, Option<Folding>),
        log: Log,
        settings: &StoreSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (queue, orders) = mpsc::channel(settings.queue_length.max(1));
        let (failed_tx, failed) = watch::channel(false);
        let wakes = Arc::new(Wakes::default());
        let newest_event = log.newest();
        let task = Task {
            connection,
            folding,
            log,
            orders,
            wakes: Arc::clone(&wakes),
            failed: failed_tx,
            metrics,
            most: settings.commands_per_commit.max(1),
        };
        tokio::spawn(task.run());
        Self { queue, wakes, failed, newest_event }
    }

    pub(super) async fn submit<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        let (job, reply) = group::job(command);
        self.queue.try_send(Order::Run(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        reply.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Hands in commands together, all or none, so that as few commits as possible carry them.
    pub(super) async fn submit_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<Result<C::Reply, StoreError>>, StoreError> {
        let (jobs, replies): (Vec<_>, Vec<_>) = commands.into_iter().map(group::job).unzip();
        let places = self.queue.try_reserve_many(jobs.len()).map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(()) => stopped(),
        })?;
        places.zip(jobs).for_each(|(place, job)| place.send(Order::Run(job)));
        let mut ended = Vec::with_capacity(replies.len());
        for reply in replies {
            ended.push(reply.await.unwrap_or_else(|_| Err(stopped())));
        }
        Ok(ended)
    }

    /// Commands that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity().saturating_sub(self.queue.capacity())
    }

    pub(super) fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    pub(super) fn newest_event(&self) -> watch::Receiver<i64> {
        self.newest_event.clone()
    }

    pub(super) async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            // The writer was closed in order: it can no longer fail.
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Order::Close(done)).await.is_ok() {
            closed.await.ok();
        }
    }
}

/// Why a transaction did not come to its end.
struct Broken {
    error: StoreError,
    /// Whether a command failed, rather than the transaction itself.
    by_command: bool,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self { error, by_command: false }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
}

struct Task {
    connection: Connection,
    folding: Option<Folding>,
    log: Log,
    orders: mpsc::Receiver<Order>,
    wakes: Arc<Wakes>,
    failed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    most: usize,
}

impl Task {
    async fn run(mut self) {
        let closing = loop {
            let Some(first) = self.orders.recv().await else { break None };
            let (jobs, closing) = self.collect(first);
            if let Err(error) = self.commit(jobs).await {
                tracing::error!(%error, "the store failed to commit; the daemon stops so that what is durable is read back");
                self.failed.send_replace(true);
                return;
            }
            if closing.is_some() {
                break closing;
            }
        };
        // The last connection that is closed folds what is left, and only one that may write can.
        if let Some(folding) = self.folding {
            folding.end().await;
        }
        if let Err(error) = super::close(self.connection).await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
        if let Some(done) = closing {
            done.send(()).ok();
        }
    }

    /// Takes what is waiting, without waiting for more.
    fn collect(&mut self, first: Order) -> (Vec<Job>, Option<oneshot::Sender<()>>) {
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Run(job) => jobs.push(job),
                Order::Close(done) => return (jobs, Some(done)),
            }
            next = if jobs.len() < self.most { self.orders.try_recv().ok() } else { None };
        }
        (jobs, None)
    }

    /// One transaction for all of `jobs`. An error means that the disk or the connection cannot be trusted any more.
    async fn commit(&mut self, jobs: Vec<Job>) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let (started, commands) = (Instant::now(), jobs.len());
        let mut batches = group::by_type(jobs);
        let (mut tries, mut guard) = (1, Guard::Transaction);
        let done = loop {
            match self.try_commit(&mut batches, guard).await {
                Err(Broken { error, .. }) if group::is_deadlock(&error) && tries < DEADLOCK_TRIES => {
                    tracing::debug!(
                        tries,
                        "a transaction waited for another one that waited for it; it is tried again"
                    );
                    tries += 1;
                }
                Err(Broken { error, by_command: true }) if guard == Guard::Transaction => {
                    tracing::debug!(%error, commands, "a command failed; all are tried again with savepoints");
                    guard = Guard::Savepoints;
                }
                done => break done.map_err(|broken| broken.error),
            }
            self.connection.execute(Query::new("ROLLBACK")).await?;
        };
        match done {
            Ok((wake, performed, place)) => {
                // Readers of the log see the commit before the callers hear of it.
                self.log.committed(place);
                // Before what follows from it goes out. Without listeners it goes nowhere.
                performed.into_iter().for_each(|hint| drop(self.wakes.performed.send(hint)));
                self.metrics.observe_commit(commands, started.elapsed());
                batches.into_iter().for_each(|batch| batch.answer(None));
                wake.send(&self.wakes);
                self.folding.iter().for_each(Folding::committed);
                Ok(())
            }
            Err(error) => self.recover(error, batches).await,
        }
    }

    async fn try_commit(
        &mut self,
        batches: &mut [Box<dyn Batch>],
        guard: Guard,
    ) -> Result<(Wake, Vec<(RunId, bool)>, Place), Broken> {
        let begin = self.connection.dialect().begin();
        let mut tx = Tx { connection: &mut self.connection, wake: Wake::default(), recorded: Vec::new() };
        tx.run(begin).await?;
        for batch in batches {
            batch.apply(&mut tx, guard).await.map_err(|error| Broken { error, by_command: true })?;
        }
        let performed = tx.recorded.iter().filter_map(Happening::performed).collect();
        let place = self.log.write(&mut tx).await?;
        tx.run("COMMIT").await?;
        Ok((tx.wake, performed, place))
    }

    /// Nothing of the transaction is durable: says so to every caller. A full disk is survived, because the rollback
    /// tells; anything else ends the writer.
    async fn recover(&mut self, error: StoreError, batches: Vec<Box<dyn Batch>>) -> Result<(), StoreError> {
        let text = error.to_string();
        batches.into_iter().for_each(|batch| batch.answer(Some(&text)));
        let full = matches!(&error, StoreError::Database(sqlx::Error::Database(inner)) if inner.code().as_deref() == Some(SQLITE_FULL));
        // The database may have rolled back by itself; then this one fails and changes nothing.
        self.connection.execute(Query::new("ROLLBACK")).await.ok();
        if full {
            tracing::error!(%error, "the disk is full; events are refused until there is room");
            Ok(())
        } else {
            Err(error)
        }
    }
}
