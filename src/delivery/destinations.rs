//! Connectors as places to send to, seen from here: who keeps them is a stage before this one.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    connectors::{Context, Plugin},
    model::ids::ConnectorId,
    secrets::Secret,
};

/// The plugin that serves a connector, and what its calls may know.
pub type Callable = (Arc<dyn Plugin>, Arc<Context>);

/// A secret that cannot be read now; the sentence says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Finds the connectors that can be sent to. Every look is at the newest state.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// The plugin that serves a connector, and what its calls may know; none when there is no such connector or its kind
    /// has no plugin.
    fn find(&self, id: &ConnectorId) -> Option<Callable>;

    /// The kinds that plugins provide, for sentences about names that are none.
    fn kinds(&self) -> Vec<String>;

    /// The connectors that are configured, for sentences about names that are none.
    fn connectors(&self) -> Vec<ConnectorId>;

    /// A secret of the sealed store, for targets that name one to sign with; none when there is none of this name.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, Unreadable>;

    /// The longest address of a URL that may be set as a target, in bytes. What was set under a higher limit is still sent to.
    fn address_bytes(&self) -> usize;
}

/// No connectors: everything goes to URLs. For stores that are used without a registry.
#[derive(Clone, Copy, Debug)]
pub struct NoConnectors;

#[async_trait]
impl Destinations for NoConnectors {
    fn find(&self, _: &ConnectorId) -> Option<Callable> {
        None
    }

    fn kinds(&self) -> Vec<String> {
        Vec::new()
    }

    fn connectors(&self) -> Vec<ConnectorId> {
        Vec::new()
    }

    async fn secret(&self, _: &str) -> Result<Option<Secret>, Unreadable> {
        Ok(None)
    }

    fn address_bytes(&self) -> usize {
        usize::MAX
    }
}
