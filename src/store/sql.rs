//! The seam to the database: one text for both drivers.
//!
//! Statements are written once, with `?` for arguments; a [`Query`] carries text and values until a [`Connection`]
//! says which driver runs it. Rules that make one text enough: times are integer milliseconds from our clock, ids are
//! bytes or text made by us, JSON is text, claims lock rows with [`Dialect::for_update`]. These files are the only
//! ones that name a driver.

pub mod connection;
pub mod query;
pub mod row;
pub mod value;

pub use connection::{Connection, Dialect, Pool};
pub use query::{Conditions, Query, portions};
pub use row::Row;
pub use value::Value;
