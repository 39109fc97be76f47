//! What a poll of the platform brought.

use super::{Effect, outgoing::Failure};
use crate::model::event::Event;

/// What a poll brought.
#[derive(Debug)]
pub struct Pulled {
    /// The events, or why there are none.
    pub outcome: Result<Pull, Failure>,
    /// Committed with the events.
    pub effects: Vec<Effect>,
}

/// Events that the platform had.
#[derive(Debug)]
pub struct Pull {
    /// In arrival order; may be empty.
    pub events: Vec<Event>,
    /// How far the plugin has read, as JSON text of at most 64 KiB; none leaves the cursor as it was.
    pub cursor: Option<String>,
    /// When to ask again, in milliseconds; an hour at most.
    pub again_ms: u64,
}
