//! The composition root: the only file that names every stage, in start-up order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;

use crate::{
    api::{
        self, Api,
        auth::{self, Auth, audit::Audit},
        drain,
        stream::Streams,
    },
    assets,
    clock::Clock,
    config::Settings,
    connectors::Plugin,
    delivery::{
        destinations::Destinations,
        dispatcher::{Dispatcher, Ways},
        share::Calls,
    },
    egress::Egress,
    executor::{
        self,
        worker::{Post, Worker},
    },
    external::{
        self, External, back, broker,
        events::{self, Sidecars},
        follow,
    },
    ingress::{
        activate,
        admission::BodyLimits,
        download::{Bounds, Downloads},
        http::{self as ingress_http, Ingress},
        poll,
        routes::Routes,
        told::Verdicts,
    },
    lifecycle::{Phase, Stage},
    outputs::address::Desk,
    presence::Presence,
    registry::watch::FileWatch,
    retention, server,
    state_folder::{StateFolder, StateFolderError},
    store::{Store, tallies},
    wire::problem,
};

mod assembly;
mod executors;
mod files;
mod ground;

use assembly::Assembly;
use executors::Means as ExecutorMeans;
use ground::Ground;

/// How much longer the lease of a file is than the call that fetches it, in milliseconds.
const DOWNLOAD_MARGIN_MS: u64 = 10_000;

/// Why the daemon did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What was asked for cannot be done as it stands. One sentence for each thing to mend.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// Something failed on the way.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<StateFolderError> for StartError {
    fn from(error: StateFolderError) -> Self {
        Self::Config(vec![error.to_string()])
    }
}

/// How much longer than its grace the end of a child may take: it is killed, and its last words are read.
const CHILD_MARGIN: Duration = Duration::from_secs(2);

/// How much longer an end may take than it is given, so that its own word on that comes first.
const MARGIN: Duration = Duration::from_millis(500);

/// What runs, in the order in which it ends: what is under way, which may need sidecars; these, which may need the server.
struct Stages {
    work: Stage,
    children: Stage,
    server: Stage,
    /// For work, and then for answers on their way out.
    grace: Duration,
    /// For children.
    child_grace: Duration,
}

impl Stages {
    fn new(phase: &Phase, settings: &Settings) -> Self {
        Self {
            work: Stage::until(phase.token()),
            children: Stage::default(),
            server: Stage::default(),
            grace: Duration::from_millis(settings.server.shutdown_grace_ms),
            child_grace: Duration::from_millis(settings.sidecars.child.stop_grace_ms) + CHILD_MARGIN,
        }
    }

    /// Ends all of it. What cannot be waited for is cut off.
    async fn end(mut self) {
        let work = self.work.end(self.grace).await;
        let children = self.children.end(self.child_grace).await;
        let server = self.server.end(self.grace + MARGIN).await;
        if !(work && server) {
            tracing::warn!(
                "work was still going on after server.shutdown_grace_ms; it is taken up again at the next start"
            );
        }
        if !children {
            tracing::warn!("sidecars had not ended after sidecars.child.stop_grace_ms; their guards kill what is left");
        }
    }
}

/// A daemon that runs.
pub struct App {
    address: SocketAddr,
    phase: Phase,
    store: Store,
    audit: Audit,
    stages: Stages,
    _folder: StateFolder,
}

impl App {
    /// Starts everything. `native` adds kinds that are not files. Nothing listens until all of it is right.
    pub async fn start(settings: Settings, native: Vec<Arc<dyn Plugin>>) -> Result<Self, StartError> {
        let mut ground = Ground::prepare(&settings).await?;
        let definitions = std::mem::take(&mut ground.definitions);
        let egress = Arc::new(Egress::new(settings.egress.clone()).context("building the HTTP client")?);
        let external = sidecars(&settings, &ground, &egress)?;
        let native = native.into_iter().chain([Arc::clone(&external) as Arc<dyn Plugin>]).collect();
        let Assembly { connectors, routes, plugins, allocation } =
            Assembly::build(&settings, &ground, definitions, (native, Arc::clone(&egress))).await?;
        let Ground { clock, folder, audit, auth, store, vault, assets, executors, duties, run_tokens, .. } = ground;
        let means = ExecutorMeans {
            store: store.clone(),
            clock: clock.clone(),
            vault,
            egress: Arc::clone(&egress),
            tokens: run_tokens,
            health: Arc::default(),
        };
        let posts = executors::posts(&settings, &executors, &means)?;
        executors::tell_of_orphans(&store, &executors).await.context("looking for sessions of former executors")?;

        let (listener, address) = bind(settings.listen).await?;
        let phase = Phase::default();
        let mut stages = Stages::new(&phase, &settings);
        let tasks = &mut stages.work;
        tasks.spawn(plugins.watch(phase.token()));
        if let Some(path) = &settings.connectors_config {
            tasks.spawn(FileWatch::new(path.clone(), Arc::clone(&connectors)).follow(phase.token()));
        }
        let destinations: Arc<dyn Destinations> = Arc::clone(&connectors) as _;
        let downloads = downloads(&settings, (&store, &routes), &clock);
        let stop = phase.token();
        tasks.spawn(async move { report("fetching files", downloads.run(stop).await) });
        let (links, guests) = (Arc::clone(assets.links()), &settings.guests);
        let calls = Calls::new(guests.concurrent_deliveries, guests.deliveries_per_connector);
        let ways = Ways { egress: Arc::clone(&egress), destinations: Arc::clone(&destinations), links, calls };
        spawn_stages(tasks, &settings, (ways, posts), (&store, &clock, &phase));
        let files = Arc::clone(&assets);
        let swept = assets::sweep::run(files, store.clone(), clock.clone(), phase.token());
        tasks.spawn(async move { report("the sweep of files", swept.await) });
        let api = Api {
            assets,
            store: store.clone(),
            clock: clock.clone(),
            connectors,
            egress,
            address,
            phase: phase.clone(),
            queue: settings.queue.clone(),
            executors,
            health: means.health,
            credentials: Arc::clone(&external) as _,
            started_ms: clock.now_ms(),
            streams: Arc::new(Streams::new(settings.events.clone())),
            allocation: allocation.to_owned(),
        };
        let wait = Duration::from_millis(settings.server.body_read_timeout_ms);
        let body = BodyLimits { bytes: settings.server.body_limit_bytes, time: wait };
        let verdicts = Arc::new(Verdicts::default());
        let (told, log, stop) = (Arc::clone(&verdicts), store.clone(), stages.server.token());
        stages.server.spawn(async move { told.run(log, stop).await });
        let ingress = Ingress { routes, destinations, store: store.clone(), clock, body, verdicts };
        let tasks = &mut stages.work;
        tasks.spawn(activate::run(ingress.clone(), settings.activation.clone(), phase.token()));
        tasks.spawn(poll::run(ingress.clone(), settings.polling.clone(), duties, phase.token()));
        follow_sidecars(&mut stages, (&external, &ingress.routes), address, &phase);
        let router = router(api, Sidecars { ingress, external }, auth, &settings);
        let (stop, server) = (stages.server.token(), settings.server.clone());
        stages.server.spawn(async move { server::serve(listener, router, &server, stop).await });
        Ok(Self { address, phase, store, audit, stages, _folder: folder })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the store has failed and the process must end.
    pub async fn store_failed(&self) {
        self.store.failed().await;
    }

    /// Takes no more work, lets what is under way end within the grace period, then children, and closes the store.
    pub async fn stop(self) {
        self.phase.drain();
        self.stages.end().await;
        self.audit.settle().await;
        self.store.close().await;
    }
}

async fn bind(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(wanted).await;
    let listener = bound.map_err(|error| StartError::Config(vec![format!("cannot listen on {wanted}: {error}")]))?;
    let address = listener.local_addr().context("reading the address that was bound")?;
    Ok((listener, address))
}

/// The kind of sidecars.
fn sidecars(settings: &Settings, ground: &Ground, egress: &Arc<Egress>) -> Result<Arc<External>, StartError> {
    let audit = ground.audit.clone();
    let means = external::Means {
        egress: Arc::clone(egress),
        clock: ground.clock.clone(),
        metrics: Arc::clone(&ground.metrics),
        store: ground.store.clone(),
        duties: Arc::clone(&ground.duties),
        ledger: Arc::new(move |row| audit.note(row.event, row.reason, row.about)),
    };
    let external = External::new(means, settings.sidecars.clone(), settings.guests.queue_timeout_ms);
    Ok(external.context("reading the manifest of the kind of sidecars")?)
}

/// Fetches files that events name.
fn downloads(settings: &Settings, (store, routes): (&Store, &Arc<Routes>), clock: &Clock) -> Arc<Downloads> {
    let guests = &settings.guests;
    let lease_ms = guests.download_deadline_ms.saturating_add(DOWNLOAD_MARGIN_MS);
    let bounds = Bounds {
        at_once: guests.concurrent_downloads.max(1),
        per_connector: guests.downloads_per_connector.max(1),
        lease_ms: i64::try_from(lease_ms).unwrap_or(i64::MAX),
        file_bytes: settings.assets.max_bytes,
        pause: settings.delivery.pause.clone(),
        max_retry_after_ms: settings.delivery.max_retry_after_ms,
    };
    Downloads::new((store.clone(), Arc::clone(routes)), clock.clone(), settings.downloads.clone(), bounds)
}

/// Keeps and looks at sidecars, and wakes what waits for them.
fn follow_sidecars(
    stages: &mut Stages,
    (external, routes): (&Arc<External>, &Arc<Routes>),
    address: SocketAddr,
    phase: &Phase,
) {
    stages.work.spawn(back::run(Arc::clone(external), phase.token()));
    let daemon = format!("http://{}", api::own_address(address)).into();
    let stops = (phase.token(), stages.children.token());
    stages.children.spawn(follow::run(Arc::clone(external), Arc::clone(routes), daemon, stops));
}

fn spawn_stages(
    tasks: &mut Stage,
    settings: &Settings,
    (ways, posts): (Ways, Vec<Post>),
    (store, clock, phase): (&Store, &Clock, &Phase),
) {
    let instance = clock.instance_id();
    let owner = format!("{}{instance}", executor::worker::FAMILY);
    let former = (executor::worker::FAMILY.to_owned(), owner.clone());
    let sweeper = executor::sweeper::run(store.clone(), clock.clone(), settings.queue.clone(), former, phase.token());
    tasks.spawn(async move { report("the sweeper", sweeper.await) });
    for post in posts {
        let desk = Desk { clock: clock.clone(), destinations: Arc::clone(&ways.destinations) };
        let worker = Worker::new(store.clone(), desk, settings.queue.clone(), owner.clone(), post);
        let stop = phase.token();
        tasks.spawn(async move { report("the worker", worker.run(stop).await) });
    }
    let counted = store.clone();
    // So that the first who asks for the status of a large store does not wait for it.
    tasks.spawn(async move { drop(tallies::read(&counted).await) });
    let destinations = Arc::clone(&ways.destinations);
    let presence = Presence::new(store.clone(), destinations, clock.clone(), settings.presence.clone());
    tasks.spawn(presence.run(phase.token()));
    let pruning = retention::run(store.clone(), clock.clone(), settings.retention.clone(), phase.token());
    tasks.spawn(async move { report("retention", pruning.await) });
    let dispatcher = Dispatcher::new(store.clone(), ways, clock.clone(), settings.delivery.clone(), &instance);
    let stop = phase.token();
    tasks.spawn(async move { report("the dispatcher", dispatcher.run(stop).await) });
}

/// A loop ends early only when the store has failed; then the whole daemon ends.
fn report(who: &str, ended: Result<(), crate::store::StoreError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "{who} stopped: {error}");
    }
}

fn router(api: Api, sidecars: Sidecars, door: Auth, settings: &Settings) -> Router {
    let phase = api.phase.clone();
    let ingress = ingress_http::router(sidecars.ingress.clone());
    let ingress = ingress.merge(events::router(sidecars.clone())).merge(broker::router(sidecars));
    let (ingress, document) = ingress.split_for_parts();
    api::router(api, document)
        .layer(axum::extract::DefaultBodyLimit::max(settings.server.control_body_limit_bytes))
        .merge(ingress)
        .fallback(problem::route_not_found)
        .layer(axum::middleware::from_fn_with_state(phase, drain::check))
        // Around everything, so that who may not know is not told which paths there are.
        .layer(axum::middleware::from_fn_with_state(door, auth::check))
}
