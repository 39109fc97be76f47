//! Connectors as places to send to, and the reply targets that operators choose, checked against them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{Connectors, definition::Broken};
use crate::{
    delivery::{
        destinations::{Callable, Destinations, Unreadable},
        targets,
    },
    ingress::routes::Route,
    model::{ids::ConnectorId, target::ReplyTarget},
    secrets::Secret,
};

#[async_trait]
impl Destinations for Connectors {
    fn find(&self, id: &ConnectorId) -> Option<Callable> {
        self.routes().find(id).map(|route| (Arc::clone(&route.plugin), Arc::clone(&route.context)))
    }

    fn kinds(&self) -> Vec<String> {
        self.kinds.kinds()
    }

    fn connectors(&self) -> Vec<ConnectorId> {
        self.table.load().keys().cloned().collect()
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Unreadable> {
        self.builder.vault.get(name).await.map_err(|error| Unreadable(error.to_string()))
    }

    fn address_bytes(&self) -> usize {
        self.builder.surroundings.address_bytes
    }
}

/// Connectors as they would be after a change that is still being checked.
pub(super) struct Reachable<'c> {
    connectors: &'c Connectors,
    changed: BTreeMap<ConnectorId, Option<Callable>>,
}

impl<'c> Reachable<'c> {
    /// The connectors of now, and those that are being tried: with a route where they have one.
    pub(super) fn new<'r>(
        connectors: &'c Connectors,
        tried: impl Iterator<Item = (&'r ConnectorId, Option<&'r Route>)>,
    ) -> Self {
        let callable = |route: &Route| (Arc::clone(&route.plugin), Arc::clone(&route.context));
        Self { connectors, changed: tried.map(|(id, route)| (id.clone(), route.map(callable))).collect() }
    }

    /// Checks a connector's own targets in this field; they come back as they are to be stored. One that leads to a connector that is
    /// configured and does not serve is taken as it is: it is checked when that one does.
    pub(super) async fn check(&self, field: &str, written: &[ReplyTarget]) -> Result<Vec<ReplyTarget>, Vec<Broken>> {
        let mut checked = Vec::with_capacity(written.len());
        let mut broken = Vec::new();
        for (index, target) in written.iter().enumerate() {
            if targets::refers_to(target).is_some_and(|id| self.is_to_come(&id)) {
                checked.push(target.clone());
                continue;
            }
            match targets::check(target, self).await {
                Ok(target) => checked.push(target),
                Err(error) => {
                    broken.push(Broken::at(format!("/{field}/{index}"), error.to_string()));
                }
            }
        }
        if broken.is_empty() { Ok(targets::distinct(checked)) } else { Err(broken) }
    }

    /// Takes it for given that these will be there.
    pub(super) fn assuming(mut self, connectors: &[ConnectorId]) -> Self {
        self.changed.extend(connectors.iter().map(|id| (id.clone(), None)));
        self
    }

    fn is_to_come(&self, id: &ConnectorId) -> bool {
        let configured = self.changed.contains_key(id) || self.connectors.get(id).is_some();
        configured && self.find(id).is_none()
    }
}

#[async_trait]
impl Destinations for Reachable<'_> {
    fn find(&self, id: &ConnectorId) -> Option<Callable> {
        match self.changed.get(id) {
            Some(Some(callable)) => Some(callable.clone()),
            // What fails now serves on as it was, if it did.
            Some(None) | None => self.connectors.find(id),
        }
    }

    fn kinds(&self) -> Vec<String> {
        let mut kinds = Destinations::kinds(self.connectors);
        kinds.extend(self.changed.keys().map(|id| id.kind.clone()));
        kinds
    }

    fn connectors(&self) -> Vec<ConnectorId> {
        let mut known = self.connectors.connectors();
        known.extend(self.changed.keys().cloned());
        known
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Unreadable> {
        Destinations::secret(self.connectors, name).await
    }

    fn address_bytes(&self) -> usize {
        self.connectors.address_bytes()
    }
}
