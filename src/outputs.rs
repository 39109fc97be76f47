//! Stage 5: what an executor said is stored, then addressed.
//!
//! Outputs can be added while a run goes on ([`append`]); they are addressed when it ends ([`finish`], transaction 3),
//! so that an attempt which loses its lease has delivered nothing.

pub mod address;
pub mod append;
pub mod direct;
pub mod finish;
pub mod spend;
