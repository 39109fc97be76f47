//! What has ended and is old makes room, a little at a time.
//!
//! A round walks each table once, in the order of its key: readers find what is old, and the writer, which everybody waits
//! for, only gets the keys and a bound of time. Nothing needs an index that events would have to keep: ids of runs and
//! deliveries begin with their time, and receipts, whose keys are hashes, are read through.
//!
//! Receipts go first and runs are kept for at least as long, so that a duplicate always finds the run that it is answered
//! with. Deliveries go before their runs, and a run stays while a delivery of it does: what can be sent or replayed keeps
//! its outputs.

use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    metrics::label::{Label as _, Pruned},
    store::{
        Store, StoreError,
        prune::{Before, Prune, Walk},
        space,
    },
};

/// Platforms send an event again for up to three days; a week leaves room for a weekend without the daemon.
const LEAST_RECEIPTS_DAYS: u32 = 7;

/// How long what has ended is kept, and how gently it goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Days for which an event that comes again is known, at least 7.
    pub receipts_days: u32,
    /// Days for which attempts to deliver that did not succeed are kept.
    pub attempts_days: u32,
    /// Days for which a delivery is kept after it was delivered or cancelled.
    pub delivered_days: u32,
    /// Days for which a dead letter can be replayed.
    pub dead_letters_days: u32,
    /// Days for which an ended run is kept with its outputs, at least as many as receipts.
    pub runs_days: u32,
    /// Days for which input and metadata of an ended run are kept.
    pub bodies_days: u32,
    /// Days after which an idle session without runs is forgotten with its names; none keeps all of them.
    pub idle_sessions_days: Option<u32>,
    /// From the end of a round to the next, in milliseconds.
    pub interval_ms: u64,
    /// How long a batch may hold the writer, in milliseconds.
    pub hold_ms: u64,
    /// Between two batches, in milliseconds.
    pub pause_ms: u64,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            receipts_days: 30,
            attempts_days: 30,
            delivered_days: 90,
            dead_letters_days: 90,
            runs_days: 90,
            bodies_days: 30,
            idle_sessions_days: None,
            interval_ms: 3_600_000,
            hold_ms: 20,
            pause_ms: 20,
        }
    }
}

impl RetentionSettings {
    /// Says what cannot be kept as it is set.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        if self.receipts_days < LEAST_RECEIPTS_DAYS {
            wrong.push(format!(
                "retention.receipts_days is {}: platforms repeat events for days; give at least {LEAST_RECEIPTS_DAYS}",
                self.receipts_days
            ));
        }
        if self.runs_days < self.receipts_days {
            wrong.push(format!(
                "retention.runs_days is {} and retention.receipts_days is {}: a duplicate is answered with its run; give \
                 runs_days at least as many",
                self.runs_days, self.receipts_days
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The moments before which everything is old.
    fn before(&self, now_ms: i64) -> Before {
        let days = |days: u32| now_ms - i64::from(days) * 86_400_000;
        Before {
            receipts: days(self.receipts_days),
            attempts: days(self.attempts_days),
            delivered: days(self.delivered_days),
            dead_letters: days(self.dead_letters_days),
            runs: days(self.runs_days),
            bodies: days(self.bodies_days),
            sessions: self.idle_sessions_days.map(days),
        }
    }
}

/// Makes rounds until `stop`.
pub async fn run(
    store: Store,
    clock: Clock,
    settings: RetentionSettings,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let round = Round { store: &store, settings: &settings, before: settings.before(clock.now_ms()) };
        tokio::select! {
            ended = round.run() => ended?,
            // A batch that was handed over is written all the same.
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(settings.interval_ms.max(1))) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// One walk over everything.
struct Round<'a> {
    store: &'a Store,
    settings: &'a RetentionSettings,
    before: Before,
}

impl Round<'_> {
    async fn run(&self) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for table in Pruned::ALL {
            let (rows, whole) = self.prune(*table).await?;
            if rows > 0 {
                gone.push(format!("{rows} {}", table.text()));
            }
            // What stands further down relies on what stands above being gone.
            if !whole {
                break;
            }
        }
        if !gone.is_empty() {
            let pages = self.give_back().await?;
            tracing::info!(pages_returned = pages, "old rows made room: {}", gone.join(", "));
        }
        Ok(())
    }

    /// Walks one table, and says how many rows are gone, and whether it came to the end.
    async fn prune(&self, table: Pruned) -> Result<(u64, bool), StoreError> {
        let mut walk = Walk::new(table, self.before);
        let mut gone = 0;
        while let Some(mut keys) = walk.next(self.store).await? {
            while !keys.is_empty() {
                let batch = Prune { table, before: self.before, hold: self.hold(), keys };
                let Some(done) = put_off(self.store.write(batch).await)? else { return Ok((gone, false)) };
                self.store.metrics().observe_prune(table, done.rows, done.took);
                gone += done.rows;
                keys = done.left;
                self.pause().await;
            }
            self.pause().await;
        }
        Ok((gone, true))
    }

    /// Gives free pages back to the file system, as long as they are a large part of the file.
    async fn give_back(&self) -> Result<u64, StoreError> {
        let mut returned = 0;
        while space::is_wasted(self.store).await? {
            let done = put_off(self.store.write(space::GiveBack { hold: self.hold() }).await)?;
            let Some(pages) = done.filter(|pages| *pages > 0) else { break };
            returned += pages;
            self.pause().await;
        }
        Ok(returned)
    }

    fn hold(&self) -> Duration {
        Duration::from_millis(self.settings.hold_ms)
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
    }
}

/// Where events fill the writer's queue or the disk is full, old rows wait for the next round.
fn put_off<T>(done: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error @ (StoreError::Overloaded | StoreError::Unavailable(_))) => {
            tracing::warn!(%error, "old rows stay until the next round: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_duplicates_need_cannot_be_given_up() {
        assert_eq!(RetentionSettings::default().check(), Ok(()));
        let short = RetentionSettings { receipts_days: 6, ..RetentionSettings::default() };
        assert!(short.check().is_err_and(|wrong| wrong.len() == 1 && wrong[0].contains("receipts_days is 6")));
        let before = RetentionSettings { receipts_days: 31, runs_days: 30, ..RetentionSettings::default() };
        assert!(before.check().is_err_and(|wrong| wrong.len() == 1 && wrong[0].contains("runs_days is 30")));
    }
}
