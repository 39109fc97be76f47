//! What a poll brings.

use crate::Event;

/// What a poll brings.
#[derive(Clone, Debug)]
pub struct Batch<C> {
    /// In arrival order, at most 64; may be empty.
    pub events: Vec<Event>,
    /// How far it has read now, committed together with the events; none leaves the cursor as it was.
    pub cursor: Option<C>,
    /// How long to wait before the next poll, in milliseconds.
    pub next_poll_after_ms: u64,
}
