//! The connector registry: what operators want, in one table, and the one reconciler that makes it run.
//!
//! Connectors come from a file ([`mod@file`]) and from the API (kept in the store). Every change, whatever its origin (start,
//! API, file, plugin, secret), takes the same turn ([`reconcile`]): definitions are sorted and judged ([`resolve`]), built
//! into routes ([`build`]), made durable ([`persist`]), and then put in place at once. A request that is under way ends on
//! the route that it began with.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    config::gathering::GatherSettings,
    connectors::{KeyValue, files::Files, kinds::Kinds},
    ingress::routes::Routes,
    metrics::Metrics,
    model::{ids::ConnectorId, roster::Roster},
    store::Store,
    vault::Vault,
};

mod build;
pub mod change;
mod claims;
pub mod definition;
pub mod entry;
pub mod file;
mod host_fields;
mod pauses;
mod persist;
mod reconcile;
mod resolve;
mod secret_fields;
mod secret_lists;
pub mod secrets;
pub mod start;
mod targets;
mod upsert;
pub mod view;
pub mod watch;

use build::Builder;
use entry::{Entry, State};

/// What a connector's name must look like.
pub const NAME_RULE: &str = "expected 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, not starting with a dot";

/// What all connectors share.
#[derive(Clone)]
pub struct Surroundings {
    /// Durable state of connectors.
    pub key_value: Arc<dyn KeyValue>,
    /// Guest calls that one connector may have in flight.
    pub calls_per_connector: usize,
    /// The host's files.
    pub files: Arc<dyn Files>,
    /// Requests that one connector may have in flight.
    pub requests_per_connector: usize,
    /// Who can perform runs.
    pub executors: Arc<Roster>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Deliveries that one connector may have in flight.
    pub deliveries_per_connector: usize,
    /// The longest address of a URL that may be set as a target, in bytes.
    pub address_bytes: usize,
    /// Bounds of events that become one run.
    pub gathering: GatherSettings,
}

/// All connectors.
pub struct Connectors {
    table: ArcSwap<BTreeMap<ConnectorId, Arc<Entry>>>,
    /// Held by whoever changes something: changes take turns, readers never wait.
    turn: Mutex<()>,
    file_report: ArcSwapOption<watch::FileReport>,
    builder: Builder,
    kinds: Arc<Kinds>,
    store: Store,
    clock: Clock,
}

impl Connectors {
    /// No connector yet.
    pub fn new(
        (routes, kinds): (Arc<Routes>, Arc<Kinds>),
        (store, vault): (Store, Vault),
        clock: Clock,
        surroundings: Surroundings,
    ) -> Self {
        let builder = Builder { routes, vault, surroundings };
        let (table, file_report) = (ArcSwap::default(), ArcSwapOption::default());
        Self { table, turn: Mutex::new(()), file_report, builder, kinds, store, clock }
    }

    /// One connector as it stands.
    pub fn get(&self, id: &ConnectorId) -> Option<Arc<Entry>> {
        self.table.load().get(id).cloned()
    }

    /// All connectors as they stand, in the order of kind and name.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.table.load().values().cloned().collect()
    }

    /// Whether a connector of this kind is configured.
    pub fn uses(&self, kind: &str) -> bool {
        self.table.load().keys().any(|id| id.kind == kind)
    }

    /// The kinds that connectors can be of.
    pub fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    /// How many connectors are in each state.
    pub fn tally(&self) -> Vec<(&'static str, i64)> {
        let states = [State::Running, State::Outdated, State::Failed];
        let all = self.all();
        let count = |state| all.iter().filter(|entry| entry.state() == state).count();
        states.map(|state| (state.name(), i64::try_from(count(state)).unwrap_or(i64::MAX))).into()
    }

    /// The routes that serve.
    pub fn routes(&self) -> &Routes {
        &self.builder.routes
    }
}
