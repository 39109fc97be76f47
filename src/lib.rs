//! A connector host: messages in, durable runs, answers out.

pub mod connectors;
pub mod model;
pub mod secrets;
