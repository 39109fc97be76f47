//! Folds SQLite's write-ahead log back into the database file, beside the writer, so that no commit waits for it.
//!
//! A fold copies pages while the writer adds further ones, so of a log that keeps growing it never copies all, and a log begins
//! anew only when all of it is copied (SQLite, "Write-Ahead Logging", section 2.2). The writer does the rest, which is little,
//! once the log is [`LONGEST`] times as long as it has to be for a fold.

use sqlx::SqliteConnection;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    StoreError, only,
    sql::{Connection, Query},
};

/// How many times `wal_pages` the log grows before the writer folds it itself.
pub(super) const LONGEST: u32 = 16;

/// Whoever folds. It ends with this.
pub(super) struct Folding {
    commits: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Folding {
    /// Begins to fold, whenever `pages` are waiting for it.
    pub(super) fn start(connection: SqliteConnection, pages: u32) -> Self {
        let (commits, committed) = watch::channel(());
        let task = Fold { connection: Connection::Sqlite(connection), pages: pages.into() };
        Self { commits, task: tokio::spawn(task.run(committed)) }
    }

    /// The log has grown.
    pub(super) fn committed(&self) {
        self.commits.send_replace(());
    }

    /// Ends it, and closes its connection.
    pub(super) async fn end(self) {
        drop(self.commits);
        self.task.await.ok();
    }
}

struct Fold {
    connection: Connection,
    pages: i64,
}

impl Fold {
    async fn run(mut self, mut committed: watch::Receiver<()>) {
        while committed.changed().await.is_ok() {
            if let Err(error) = self.fold().await {
                tracing::warn!(%error, "the log could not be folded back into the database; it is tried again: {error}");
            }
        }
        if let Err(error) = super::close(self.connection).await {
            tracing::warn!(%error, "the connection that folds the log did not close cleanly");
        }
    }

    async fn fold(&mut self) -> Result<(), StoreError> {
        let (length, copied) = self.look().await?;
        // A log that got too long is the writer's: two cannot fold at the same time.
        if length - copied >= self.pages && length < self.pages * i64::from(LONGEST) {
            self.connection.fetch(Query::new("PRAGMA wal_checkpoint(PASSIVE)")).await?;
        }
        Ok(())
    }

    /// How many pages the log has, and how many of them are copied.
    async fn look(&mut self) -> Result<(i64, i64), StoreError> {
        let mut row = only(self.connection.fetch(Query::new("PRAGMA wal_checkpoint(NOOP)")).await?)?;
        let _busy: i64 = row.take()?;
        Ok((row.take()?, row.take()?))
    }
}
