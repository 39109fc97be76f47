//! Stage 1: what arrives becomes an accepted event, once.
//!
//! A request passes the [`door`]: admission ([`admission`]) and the connector's verification recipes ([`verify`]); then
//! its plugin. The events that come back are prepared ([`prepare`]) and made durable ([`accept`], transaction 1). Only then is the
//! caller answered. Files that events name are fetched after that ([`download`]).

pub mod accept;
pub mod activate;
pub mod admission;
pub mod answer;
pub mod counted;
pub(crate) mod document;
pub mod door;
pub mod download;
pub mod http;
pub mod poll;
pub mod prepare;
pub mod rate;
pub mod routes;
pub mod told;
pub mod verify;
