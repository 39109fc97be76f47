//! Durable state: one database, one writer, readers apart.
//!
//! Writes are [`writer::Command`]s; the writer groups whatever is waiting into one commit. Reads go to a pool and see
//! committed rows only. The files beside this one hold the statements, a noun each; the four transactions that use them
//! live in the stages.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::Deserialize;
use sqlx::{
    ConnectOptions, Connection as _,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

pub mod assets;
pub mod backlog;
pub mod bindings;
pub mod connectors;
pub mod data_keys;
pub mod deliveries;
pub mod downloads;
pub mod duties;
pub mod events;
mod fold;
pub mod gatherings;
pub mod heads;
pub mod history;
pub mod key_values;
pub mod lanes;
pub mod migrations;
pub mod outputs;
pub mod pauses;
pub mod prune;
pub mod receipts;
pub mod runs;
pub mod secrets;
pub mod session_targets;
pub mod sessions;
pub mod space;
pub mod sql;
pub mod tallies;
pub mod turns;
pub mod writer;

use fold::Folding;
use sql::{Connection, Dialect, Pool, Query, Row};
use tallies::{Kept, Tallies};
use writer::{Writer, log::Log};

use crate::metrics::{Metrics, gauges::Backlog};

/// Prepared statements that a connection keeps: one for each number of rows (1 to 64, and 512) of each statement for
/// many rows.
const STATEMENTS: usize = 1024;

/// Rows of an answer that the writer's connection holds ready: with fewer, its thread and ours wait for each other in turns.
const ROWS: usize = 1024;

/// The daemon's own file in the state folder.
pub const DATABASE_FILE: &str = "kheish.db";

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A stored value breaks the rules under which it was written.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// The commit that carried the command failed, or the writer has stopped.
    #[error("the store could not commit: {0}")]
    Unavailable(String),
    /// Another daemon on the same database changed a row in between; nothing was written.
    #[error("another daemon changed the same row in between: try again")]
    Outrun,
    /// Too many commands are waiting; nothing was written.
    #[error("the store's queue is full")]
    Overloaded,
}

/// How the store is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Commands that may wait for the writer; further ones are refused with 503.
    pub queue_length: usize,
    /// Commands in one commit. Bounds how long the first of them waits for the last.
    pub commands_per_commit: usize,
    /// Connections for readers.
    pub readers: u32,
    /// Pages of 4 KiB in the write-ahead log before it is folded back into the database file, beside the commits. Where they
    /// come faster than that, the log grows to 16 times as many; then a commit waits for the rest.
    pub wal_pages: u32,
    /// Page cache of the writer, in KiB.
    pub cache_kib: u32,
    /// Events that are kept for streams that resume, 1 to 1,048,576. The oldest go first, 64 at a time.
    pub event_history_capacity: usize,
    /// Age of counts in the status and in metrics once there are more than 100,000 rows to count, in milliseconds.
    pub count_age_ms: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            queue_length: 4096,
            commands_per_commit: 1024,
            readers: 2,
            wal_pages: 1000,
            cache_kib: 16 * 1024,
            event_history_capacity: 65_536,
            count_age_ms: 5_000,
        }
    }
}

/// A handle to the store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Pool,
    metrics: Arc<Metrics>,
    default_executor: Arc<OnceLock<String>>,
    /// The last counts for the status and for metrics.
    tallies: Arc<Kept<Tallies>>,
    backlog: Arc<Kept<Backlog>>,
    /// Where the database file is, when it is one.
    file: Option<PathBuf>,
}

impl Store {
    /// Opens the embedded database in `folder`, creates or migrates it, and starts the writer.
    pub async fn open_sqlite(
        folder: &Path,
        settings: &StoreSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE_FILE);
        // Made here, so that it and what stands beside it are readable by nobody else from the first byte on.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(sqlx::Error::Io)?;
        let file = || {
            SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::from_secs(5)).disable_statement_logging()
        };
        let pages = settings.wal_pages.max(1);
        let logged = || file().journal_mode(SqliteJournalMode::Wal);
        let writing = logged()
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(STATEMENTS)
            .row_buffer_size(ROWS)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .pragma("fullfsync", "on")
            .pragma("temp_store", "memory")
            .pragma("journal_size_limit", "67108864")
            .pragma("wal_autocheckpoint", pages.saturating_mul(fold::LONGEST).to_string())
            .pragma("cache_size", format!("-{}", settings.cache_kib));
        let mut connection = writing.connect().await?;
        migrations::for_dialect(Dialect::Sqlite)
            .run(&mut connection)
            .await
            .map_err(|error| StoreError::Database(error.into()))?;
        let reading = file().read_only(true).pragma("cache_size", "-2048");
        let readers =
            SqlitePoolOptions::new().max_connections(settings.readers).min_connections(1).connect_with(reading).await?;
        let folding = logged().synchronous(SqliteSynchronous::Full).pragma("fullfsync", "on").connect().await?;
        let folding = Folding::start(folding, pages);
        let writer = start(Connection::Sqlite(connection), Some(folding), settings, &metrics).await?;
        Ok(Self::of((writer, Pool::Sqlite(readers)), metrics, settings, Some(path)))
    }

    /// Connects to a PostgreSQL server, creates or migrates the tables, and starts the writer.
    pub async fn open_postgres(url: &str, settings: &StoreSettings, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let options: sqlx::postgres::PgConnectOptions = url.parse()?;
        let options =
            options.application_name("kheishd").statement_cache_capacity(STATEMENTS).disable_statement_logging();
        let mut connection = options.connect().await?;
        migrations::for_dialect(Dialect::Postgres)
            .run(&mut connection)
            .await
            .map_err(|error| StoreError::Database(error.into()))?;
        let readers =
            sqlx::postgres::PgPoolOptions::new().max_connections(settings.readers).connect_with(options).await?;
        let writer = start(Connection::Postgres(connection), None, settings, &metrics).await?;
        Ok(Self::of((writer, Pool::Postgres(readers)), metrics, settings, None))
    }

    fn of(
        (writer, readers): (Writer, Pool),
        metrics: Arc<Metrics>,
        settings: &StoreSettings,
        file: Option<PathBuf>,
    ) -> Self {
        let (tallies, backlog) = (Kept::new(settings.count_age_ms), Kept::new(settings.count_age_ms));
        Self { writer, readers, metrics, default_executor: Arc::default(), tallies, backlog, file }
    }

    /// Runs a command in the next commit and returns its reply once that commit is durable. The command runs even when
    /// the caller goes away.
    pub async fn write<C: writer::Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        self.writer.submit(command).await
    }

    /// The same for several that go into as few commits as possible, each with an end of its own, in their order. None is
    /// taken when there is no room for all.
    pub async fn write_all<C: writer::Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<Result<C::Reply, StoreError>>, StoreError> {
        self.writer.submit_all(commands).await
    }

    /// Reads committed rows.
    pub async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.readers.fetch(query).await
    }

    /// Where a stage waits for work that a commit made ready.
    pub fn wakes(&self) -> &writer::Wakes {
        self.writer.wakes()
    }

    /// The id of the newest committed event, now and whenever it changes.
    pub fn newest_event(&self) -> watch::Receiver<i64> {
        self.writer.newest_event()
    }

    /// What is counted, by the writer and by those who write.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Says, once, what the executor is called that performs runs of sessions that name none.
    pub fn name_default_executor(&self, name: &str) {
        self.default_executor.set(name.to_owned()).ok();
    }

    /// The name of a session's executor, as the session has it: empty is the default.
    pub fn executor_name(&self, executor: String) -> String {
        if executor.is_empty() { self.default_executor.get().cloned().unwrap_or(executor) } else { executor }
    }

    /// Resolves when the writer has stopped because the disk failed it: the process must end, so that what is durable
    /// is read back rather than assumed.
    pub async fn failed(&self) {
        self.writer.failed().await;
    }

    /// Commits what is waiting, stops the writer and closes every connection. The writer's is the last, because only one
    /// that may write folds the log back into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn start(
    mut connection: Connection,
    folding: Option<Folding>,
    settings: &StoreSettings,
    metrics: &Arc<Metrics>,
) -> Result<Writer, StoreError> {
    let log = Log::open(&mut connection, settings.event_history_capacity).await?;
    Ok(Writer::start((connection, folding), log, settings, Arc::clone(metrics)))
}

/// The one row that a statement must answer with.
pub(crate) fn only(rows: Vec<Row>) -> Result<Row, StoreError> {
    rows.into_iter()
        .next()
        .ok_or(StoreError::Damaged("a statement that always answers with one row answered with none"))
}

/// Counts by a numeric column.
pub(crate) async fn tally_codes(store: &Store, text: &'static str) -> Result<HashMap<i64, i64>, StoreError> {
    store.read(Query::new(text)).await?.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

/// Closes a connection that no writer owns.
pub async fn close(connection: Connection) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => connection.close().await?,
        Connection::Postgres(connection) => connection.close().await?,
    }
    Ok(())
}
