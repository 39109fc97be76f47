//! Following the event log: read what is new, wait for more, say now and then that nothing is.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::frame::{self, Gap};
use crate::{
    api::Api,
    clock::Clock,
    store::{
        Store, StoreError,
        events::{self, EventFilter},
    },
};

/// Events that are read at once. Bounds what a stream holds in memory.
const CHUNK: i64 = 128;

/// How long a stream that has caught up lets events gather: many streams must not read with every commit.
const PAUSE: Duration = Duration::from_millis(25);

/// One reader of the event log.
pub(super) struct Follower {
    store: Store,
    clock: Clock,
    filter: EventFilter,
    newest: watch::Receiver<i64>,
    stop: CancellationToken,
    /// Everything up to here was passed on, or does not belong to this stream.
    cursor: i64,
    /// Whether the stream has caught up since it began.
    live: bool,
    /// When it reads again at the earliest.
    read_at: Instant,
    /// When it says that it is alive.
    beat_at: Instant,
    heartbeat: Duration,
}

impl Follower {
    /// Begins behind `cursor`, or behind `newest` where there is none.
    pub(super) fn new(api: &Api, cursor: Option<i64>, newest: i64, filter: EventFilter) -> Self {
        let heartbeat = api.streams.heartbeat();
        Self {
            store: api.store.clone(),
            clock: api.clock.clone(),
            filter,
            newest: api.store.newest_event(),
            stop: api.phase.token(),
            cursor: cursor.unwrap_or(newest),
            live: cursor.is_none(),
            read_at: Instant::now(),
            beat_at: Instant::now() + heartbeat,
            heartbeat,
        }
    }

    /// The next frames. None ends the stream: the daemon stops, or the store failed.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            let newest = *self.newest.borrow_and_update();
            let behind = self.cursor < newest;
            if behind && Instant::now() >= self.read_at {
                match self.read(newest).await {
                    Ok(text) if text.is_empty() => {}
                    Ok(text) => return Some(self.say(text)),
                    Err(error) => {
                        tracing::warn!(%error, "a stream ended because the store could not be read: {error}");
                        return None;
                    }
                }
            }
            if Instant::now() >= self.beat_at {
                let beat = frame::heartbeat(self.clock.now_ms());
                return Some(self.say(beat));
            }
            self.wait().await?;
        }
    }

    fn say(&mut self, text: String) -> Bytes {
        self.beat_at = Instant::now() + self.heartbeat;
        Bytes::from(text)
    }

    async fn read(&mut self, newest: i64) -> Result<String, StoreError> {
        let excerpt = events::read(&self.store, (self.cursor, newest), &self.filter, CHUNK).await?;
        let mut text = String::new();
        if let Some(gap) = Gap::between(self.cursor, excerpt.oldest) {
            gap.frame(&mut text, &self.filter, self.live);
            self.cursor = gap.resume_after;
        }
        excerpt.events.iter().for_each(|event| frame::event(&mut text, event));
        match excerpt.events.last() {
            Some(last) if excerpt.events.len() as i64 == CHUNK => self.cursor = last.id,
            _ => {
                self.cursor = self.cursor.max(newest);
                self.live = true;
                self.read_at = Instant::now() + PAUSE;
            }
        }
        Ok(text)
    }

    async fn wait(&mut self) -> Option<()> {
        let behind = self.cursor < *self.newest.borrow();
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = tokio::time::sleep_until(self.beat_at) => Some(()),
            () = tokio::time::sleep_until(self.read_at), if behind => Some(()),
            changed = self.newest.changed(), if !behind => changed.ok(),
        }
    }
}
