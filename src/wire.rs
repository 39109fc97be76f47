//! What goes over HTTP, the same on the public routes and on the control plane: problem documents, views, and extractors
//! whose refusals are problem documents.

pub mod body;
pub mod delivery_view;
pub mod extract;
pub mod problem;
pub mod view;
