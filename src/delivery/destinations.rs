//! Connectors as places to send to, seen from here: who keeps them is a stage before this one.

use std::sync::Arc;

use crate::{
    connectors::{Context, Plugin},
    model::ids::ConnectorId,
};

/// The plugin that serves a connector, and what its calls may know.
pub type Callable = (Arc<dyn Plugin>, Arc<Context>);

/// Finds the connectors that can be sent to. Every look is at the newest state.
pub trait Destinations: Send + Sync {
    /// The plugin that serves a connector, and what its calls may know; none when there is no such connector or its kind
    /// has no plugin.
    fn find(&self, id: &ConnectorId) -> Option<Callable>;

    /// The kinds that plugins provide, for sentences about names that are none.
    fn kinds(&self) -> Vec<String>;

    /// The connectors that are configured, for sentences about names that are none.
    fn connectors(&self) -> Vec<ConnectorId>;
}
