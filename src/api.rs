//! The operator's and the workers' HTTP API: paths only. Connector ingress has routes of its own, in
//! [`crate::ingress::http`].

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{Extension, Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    assets::Assets,
    clock::Clock,
    connectors::credentials::Credentials,
    egress::Egress,
    executor::health::Health,
    lifecycle::Phase,
    model::roster::Roster,
    queue::QueueSettings,
    registry::Connectors,
    store::Store,
    wire::problem::{self, Problem},
};

pub mod assets;
pub mod auth;
pub mod connectors;
pub mod credentials;
pub mod deliveries;
pub mod document;
pub mod drain;
pub mod kinds;
pub mod metrics;
pub mod page;
pub mod plugins;
pub mod probes;
pub mod queries;
pub mod reply_targets;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod sidecars;
pub mod status;
pub mod stream;
pub mod submit;
pub mod work;

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// Rows.
    pub store: Store,
    /// Time and ids.
    pub clock: Clock,
    /// Connectors, kinds and plugin files.
    pub connectors: Arc<Connectors>,
    /// Outbound HTTP, for test events.
    pub egress: Arc<Egress>,
    /// Where the daemon listens.
    pub address: SocketAddr,
    /// Whether the daemon is stopping.
    pub phase: Phase,
    /// How runs are leased.
    pub queue: QueueSettings,
    /// Who can perform runs.
    pub executors: Arc<Roster>,
    /// How they fare.
    pub health: Arc<Health>,
    /// What programs behind connectors have fetched.
    pub credentials: Arc<dyn Credentials>,
    /// When the daemon started, in milliseconds since 1970.
    pub started_ms: i64,
    /// Files.
    pub assets: Arc<Assets>,
    /// Open event streams.
    pub streams: Arc<stream::Streams>,
    /// How guest memory is allocated, for the status.
    pub allocation: String,
}

impl Api {
    /// An address at which this process reaches itself.
    fn own_address(&self) -> SocketAddr {
        own_address(self.address)
    }
}

/// An address at which a process reaches itself that listens at `bound`.
pub fn own_address(bound: SocketAddr) -> SocketAddr {
    let mut own = bound;
    if own.ip().is_unspecified() {
        own.set_ip(if own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    own
}

/// A change goes on to its end when its caller hangs up: half of one would be durable and not in place.
async fn to_its_end<T: Send + 'static>(change: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|error| {
        tracing::error!(%error, "a change broke off: {error}");
        Problem::internal("api")
    })
}

/// The control plane, path by path. What is not registered here, with its handler's annotation, does not exist.
fn control() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(document::get))
        .routes(routes!(metrics::get))
        .routes(routes!(status::get))
        .routes(routes!(plugins::list))
        .routes(routes!(kinds::list))
        .routes(routes!(kinds::get))
        .routes(routes!(connectors::list))
        .routes(routes!(sidecars::metrics))
        .routes(routes!(connectors::get, connectors::put, connectors::delete))
        .routes(routes!(connectors::test::send))
        .routes(routes!(connectors::process::restart))
        .routes(routes!(secrets::list, secrets::put))
        .routes(routes!(secrets::rotate_keys))
        .routes(routes!(secrets::get, secrets::delete))
        .routes(routes!(credentials::subject))
        .routes(routes!(credentials::revoke_subject))
        .routes(routes!(credentials::lease))
        .routes(routes!(credentials::revoke_lease))
        .routes(routes!(credentials::revoke_slot))
        .routes(routes!(stream::all))
        .routes(routes!(sessions::list, sessions::create))
        .routes(routes!(sessions::get))
        .routes(routes!(stream::of_session))
        .routes(routes!(reply_targets::get, reply_targets::put, reply_targets::post, reply_targets::delete))
        .routes(routes!(submit::submit))
        .routes(routes!(runs::list))
        .routes(routes!(work::claim::claim))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(stream::of_run))
        .routes(routes!(work::heartbeat))
        .routes(routes!(work::outputs))
        .routes(routes!(work::finish))
        .routes(routes!(work::fail))
        .routes(routes!(deliveries::list, deliveries::send::create))
        .routes(routes!(deliveries::dead_letters))
        .routes(routes!(deliveries::bulk::replay))
        .routes(routes!(deliveries::bulk::resolve))
        .routes(routes!(deliveries::bulk::purge))
        .routes(routes!(deliveries::backpressure::reset))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::act::replay))
        .routes(routes!(deliveries::act::resolve))
        .routes(routes!(deliveries::act::cancel))
        .routes(routes!(deliveries::act::look_up))
        .routes(routes!(deliveries::act::resend))
        .routes(routes!(deliveries::act::mark_delivered))
        .routes(routes!(deliveries::act::resend_part))
        .routes(routes!(deliveries::act::mark_part_delivered))
        .routes(routes!(assets::upload))
        .routes(routes!(assets::get))
        .routes(routes!(assets::raw))
}

/// What everybody may ask.
fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(sidecars::asset))
}

/// Every route of the API, and the document of these and of the `ingress` routes. Who may use them is for [`auth::check`] to
/// say, which stands around all of the daemon's routes.
pub fn router(api: Api, ingress: OpenApi) -> Router {
    let (control, control_document) = control().split_for_parts();
    let (public, mut public_document) = public().split_for_parts();
    public_document.merge(ingress);
    let names = Arc::new(queries::Names::of(&control_document));
    let document = document::Document::new(control_document, public_document);
    let control = control
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(Extension(document))
        .layer(middleware::from_fn_with_state(names, queries::check));
    public.method_not_allowed_fallback(problem::method_not_allowed).merge(control).with_state(api)
}
