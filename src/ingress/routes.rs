//! Connectors that serve: plugin, settings, recipes, rules and rate limit of each. The registry builds them and puts them
//! here.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{poll::PollState, prepare::Rules, rate::RateLimit, verify::Verifier};
use crate::{
    connectors::{Context, Plugin},
    metrics::ingress::ForKind,
    model::ids::ConnectorId,
};

/// One connector, ready.
pub struct Route {
    /// Parses requests.
    pub plugin: Arc<dyn Plugin>,
    /// What its calls may know.
    pub context: Arc<Context>,
    /// Authenticates callers.
    pub verifier: Verifier,
    /// Whether it lets nobody in.
    pub closed: bool,
    /// What the host adds to its events.
    pub rules: Rules,
    /// Accepted events per second.
    pub rate: Arc<RateLimit>,
    /// What is counted of its requests.
    pub counts: Arc<ForKind>,
    /// How its poller fares, where it has one.
    pub poll: PollState,
    /// How registering it at its platform fares, where its kind does that.
    pub activation: PollState,
}

/// All connectors. Readers take one snapshot per request, so a change never reaches a request in flight.
#[derive(Default)]
pub struct Routes {
    table: ArcSwap<BTreeMap<ConnectorId, Arc<Route>>>,
    news: Notify,
}

impl Routes {
    /// The route of `kind/name`.
    pub fn find(&self, id: &ConnectorId) -> Option<Arc<Route>> {
        self.table.load().get(id).cloned()
    }

    /// Puts routes in place, and takes those away that are none: all at once.
    pub fn change(&self, changes: &[(ConnectorId, Option<Arc<Route>>)]) {
        self.table.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            for (id, route) in changes {
                match route {
                    Some(route) => drop(table.insert(id.clone(), Arc::clone(route))),
                    None => drop(table.remove(id)),
                }
            }
            table
        });
        self.news.notify_waiters();
    }

    /// Those of one kind.
    pub fn of_kind(&self, kind: &str) -> Vec<Arc<Route>> {
        self.table.load().values().filter(|route| route.rules.connector.kind == kind).cloned().collect()
    }

    /// Those whose kind polls.
    pub fn polling(&self) -> Vec<Arc<Route>> {
        self.table.load().values().filter(|route| route.plugin.polls()).cloned().collect()
    }

    /// Those whose kind registers them at a platform.
    pub fn activating(&self) -> Vec<Arc<Route>> {
        self.table.load().values().filter(|route| route.plugin.activates()).cloned().collect()
    }

    /// Resolves with the next change after this call.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.news.notified()
    }
}
