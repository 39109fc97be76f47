//! The kind `external`: sidecars, programs of their own that bring events and take deliveries over HTTP (contract
//! section 4).
//!
//! | file | holds |
//! |---|---|
//! | [`settings`] | a connector's settings and their rules; `base_url.rs` is the address |
//! | `plugin.rs` | the kind as the host calls it, described by `manifest.json` |
//! | [`events`] | what sidecars send: the routes `…/events` and `…/events/batch` |
//! | `deliver.rs` | what goes out: `POST /deliver`, and what its answers mean |
//! | `call.rs` | requests to a sidecar, within bounds; `protocol.rs` is what they say |
//! | `child.rs` | the programs that the daemon starts; `print.rs` tells whether one has to be started anew |
//! | [`broker`] | the route `…/credentials/{env_key}`, and who may use it |
//! | [`watch`] | how a sidecar fares, as [`follow`] has seen it; `tell.rs` tells streams of it, [`back`] wakes what waited for it |
//! | `crew.rs` | the tasks that follow and keep |
//!
//! The platform's own words stay outside: the host hears events in the protocol's shape and makes them durable as it does
//! everybody's.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    config::sidecars::SidecarSettings,
    connectors::manifest::{Manifest, ManifestError},
    duties::Duties,
    egress::Egress,
    metrics::Metrics,
    store::Store,
};

pub mod back;
mod base_url;
pub mod broker;
mod call;
mod child;
mod crew;
mod deliver;
pub mod events;
pub mod follow;
mod plugin;
mod print;
mod protocol;
mod route;
pub mod settings;
mod tell;
pub mod watch;

use broker::{Broker, Ledger};
use watch::Fleet;

/// The kind's name.
pub const KIND: &str = "external";

/// What sidecars stand on.
pub struct Means {
    /// Outbound HTTP.
    pub egress: Arc<Egress>,
    /// Time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where streams are told how sidecars fare.
    pub store: Store,
    /// Which of several daemons runs a program.
    pub duties: Arc<Duties>,
    /// Where rows about credentials go.
    pub ledger: Ledger,
}

/// What all sidecars share. One for each daemon.
pub struct External {
    manifest: Manifest,
    egress: Arc<Egress>,
    clock: Clock,
    metrics: Arc<Metrics>,
    store: Store,
    duties: Arc<Duties>,
    bounds: SidecarSettings,
    /// How long a delivery waits for one of its connector's places.
    queue_timeout: Duration,
    fleet: Fleet,
    broker: Broker,
}

impl External {
    /// No sidecar yet. `queue_timeout_ms` is how long a delivery waits for one of its connector's places.
    pub fn new(means: Means, bounds: SidecarSettings, queue_timeout_ms: u64) -> Result<Arc<Self>, ManifestError> {
        let manifest = Manifest::parse(include_str!("external/manifest.json"))?;
        let (queue_timeout, fleet) = (Duration::from_millis(queue_timeout_ms), Fleet::default());
        let Means { egress, clock, metrics, store, duties, ledger } = means;
        let broker = Broker::new(ledger, clock.clone(), bounds.child.credential_failures);
        Ok(Arc::new(Self { manifest, egress, clock, metrics, store, duties, bounds, queue_timeout, fleet, broker }))
    }
}
