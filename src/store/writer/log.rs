//! Where the event log stands: the next id, how many rows there are, and what readers may see.
//!
//! The upper half of an id is the time of the daemon's start in seconds, or more when the clock went back; the lower
//! half counts. So ids grow over restarts, and those of one start have no gaps: they are given only to what commits.

use tokio::sync::watch;

use super::{Tx, group::came_second};
use crate::{
    clock::Clock,
    model::happening::{Happening, started},
    store::{
        StoreError, events, only,
        sql::{Connection, portions},
    },
};

/// The most rows that can be asked to be kept.
const MOST_ROWS: usize = 1 << 20;

/// Rows that may be over the capacity before they are dropped, so that not every commit has to drop some.
const SLACK: i64 = 64;

/// How often a start is tried whose ids another daemon on the same database has reserved.
const OPEN_TRIES: usize = 64;

/// The writer's view of the log.
pub(in crate::store) struct Log {
    place: Place,
    capacity: i64,
    clock: Clock,
    newest: watch::Sender<i64>,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The id of the next event.
    next: i64,
    /// How many there are.
    rows: i64,
}

impl Log {
    /// Finds the end of the log and reserves the ids of this start with its first event.
    pub(in crate::store) async fn open(connection: &mut Connection, capacity: usize) -> Result<Self, StoreError> {
        let clock = Clock::system();
        let capacity = i64::try_from(capacity.clamp(1, MOST_ROWS)).unwrap_or(1);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut measured = only(connection.fetch(events::measure()).await?)?;
            let (newest, rows): (Option<i64>, i64) = (measured.take()?, measured.take()?);
            let first = first_id(newest, clock.now_ms());
            match connection.execute(events::insert(connection.dialect(), first, &[started()], clock.now_ms())?).await {
                Ok(_) => {
                    let place = Place { next: first + 1, rows: rows + 1 };
                    return Ok(Self { place, capacity, clock, newest: watch::Sender::new(first) });
                }
                Err(error) if came_second(&error) && tries < OPEN_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The newest event that is committed, now and from now on.
    pub(super) fn newest(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// Writes what the transaction recorded, drops what is too much, and says where the log ends if it commits.
    pub(super) async fn write(&self, tx: &mut Tx<'_>) -> Result<Place, StoreError> {
        let recorded = std::mem::take(&mut tx.recorded);
        let Place { mut next, mut rows } = self.place;
        if recorded.is_empty() {
            return Ok(self.place);
        }
        let at_ms = self.clock.now_ms();
        for chunk in portions(&recorded) {
            tx.execute(events::insert(tx.dialect(), next, chunk, at_ms)?).await?;
            next += count(chunk);
        }
        rows += count(&recorded);
        let surplus = rows - self.capacity;
        if surplus >= SLACK.min(self.capacity) {
            // Bounded, so that a capacity that was lowered does not hold one commit up.
            let dropped = tx.execute(events::prune(surplus.min(2 * count(&recorded) + SLACK))).await?;
            rows -= i64::try_from(dropped).unwrap_or(0);
        }
        Ok(Place { next, rows })
    }

    /// Lets readers see what is committed.
    pub(super) fn committed(&mut self, place: Place) {
        if place != self.place {
            self.place = place;
            self.newest.send_replace(place.next - 1);
        }
    }
}

fn count(happenings: &[Happening]) -> i64 {
    i64::try_from(happenings.len()).unwrap_or(0)
}

/// The first id of a start: a new upper half, above the newest one also when the clock stands still or went back. Past
/// the largest upper half the ids just go on.
fn first_id(newest: Option<i64>, now_ms: i64) -> i64 {
    let by_clock = (now_ms / 1000).clamp(0, i64::from(i32::MAX)) << 32;
    let floor = newest.map_or(0, |newest| newest.saturating_add(1));
    let next_half = floor.saturating_add(i64::from(u32::MAX)) >> 32 << 32;
    by_clock.max(next_half).max(floor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_upper_half_is_the_second_of_the_start() {
        assert_eq!(first_id(None, 1_700_000_000_999), 1_700_000_000 << 32);
        assert_eq!(first_id(Some((1_600_000_000 << 32) + 7), 1_700_000_000_000), 1_700_000_000 << 32);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_the_next_upper_half() {
        let newest = (1_700_000_000 << 32) + 41;
        for now_ms in [1_700_000_000_999, 1_600_000_000_000, 0, -1] {
            assert_eq!(first_id(Some(newest), now_ms), 1_700_000_001 << 32);
        }
    }

    proptest! {
        #[test]
        fn ids_grow_over_any_start(newest in 0..i64::MAX, now_ms in any::<i64>()) {
            let first = first_id(Some(newest), now_ms);
            prop_assert!(first > newest);
            prop_assert!(first >> 32 > newest >> 32 || newest >> 32 == i64::from(i32::MAX));
        }
    }
}
