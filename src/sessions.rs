//! Stage 2: which conversation an event belongs to.

pub mod placement;
