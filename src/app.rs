//! The composition root: the only file that names every stage, in start-up order.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    api::{self, Api, guard::Guard},
    clock::Clock,
    config::{Settings, connectors as connectors_file},
    connectors::{
        KeyValue, Plugin,
        folder::{Adopter, PluginFolder},
        registry::Registry,
        wasm::WasmEngine,
    },
    delivery::dispatcher::Dispatcher,
    egress::Egress,
    executor::{self, ExecutorKind, echo::Echo, worker::Worker},
    ingress::{
        admission::BodyLimits,
        http::{self as ingress_http, Ingress},
        routes::{Routes, Surroundings},
    },
    lifecycle::Phase,
    model::ids::ConnectorId,
    secrets::Secret,
    server,
    state_folder::{StateFolder, StateFolderError},
    store::{Store, key_values},
    wire::problem,
};

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

/// A daemon that runs.
pub struct App {
    address: SocketAddr,
    phase: Phase,
    store: Store,
    tasks: JoinSet<()>,
    grace: Duration,
    _folder: StateFolder,
}

impl App {
    /// Starts everything. `native` adds kinds that are not files. Nothing listens until all of it is right.
    pub async fn start(settings: Settings, native: Vec<Arc<dyn Plugin>>) -> Result<Self, StartError> {
        let clock = Clock::system();
        let started_ms = clock.now_ms();
        let token = admin_token(&settings)?;
        let configs = connectors(&settings)?;
        let folder = StateFolder::open(&settings.state_root)?;
        let store = open_store(&settings, folder.path()).await?;
        let engine = WasmEngine::new(settings.guests.clone(), folder.path().join("compiled"))
            .context("starting the WebAssembly engine")?;
        let surroundings = Surroundings {
            key_value: Arc::new(StoredState(store.clone())),
            calls_per_connector: settings.guests.calls_per_connector,
        };
        let routes = Arc::new(Routes::new(configs, surroundings));
        let registry = Arc::new(Registry::default());
        let plugins = load_plugins(&settings, &engine, &registry, &routes, (native, clock.clone())).await?;

        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|error| StartError::Config(vec![format!("cannot listen on {}: {error}", settings.listen)]))?;
        let address = listener.local_addr().context("reading the address that was bound")?;
        let phase = Phase::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(plugins.watch(phase.token()));
        spawn_stages(&mut tasks, &settings, (&store, &clock, &phase))?;
        let api = Api {
            store: store.clone(),
            clock: clock.clone(),
            registry,
            routes: Arc::clone(&routes),
            phase: phase.clone(),
            queue: settings.queue.clone(),
            executor: settings.executor,
            started_ms,
            allocation: engine.allocation().to_owned(),
        };
        let body = BodyLimits {
            bytes: settings.server.body_limit_bytes,
            time: Duration::from_millis(settings.server.body_read_timeout_ms),
        };
        let ingress = Ingress { routes, store: store.clone(), clock, body };
        let router = router(api, ingress, token, &settings);
        let (stop, server) = (phase.token(), settings.server.clone());
        tasks.spawn(async move { server::serve(listener, router, &server, stop).await });
        let grace = Duration::from_millis(settings.server.shutdown_grace_ms);
        Ok(Self { address, phase, store, tasks, grace, _folder: folder })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the store has failed and the process must end.
    pub async fn store_failed(&self) {
        self.store.failed().await;
    }

    /// Takes no more work, lets what is under way end within the grace period, and closes the store.
    pub async fn stop(mut self) {
        self.phase.drain();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // The server has the same grace for its connections; a moment more, so that its own end shows first.
        if tokio::time::timeout(self.grace + Duration::from_millis(500), ended).await.is_err() {
            tracing::warn!(
                "work was still going on after server.shutdown_grace_ms; it is taken up again at the next start"
            );
        }
        self.tasks.shutdown().await;
        self.store.close().await;
    }
}

/// Without a token only this machine may connect; there is no way to be open to the network by accident.
fn admin_token(settings: &Settings) -> Result<Option<Secret>, StartError> {
    let variable = &settings.server.admin_token_env;
    match std::env::var(variable) {
        Ok(token) if token.trim().is_empty() => {
            Err(StartError::Config(vec![format!("{variable} is set and empty: give a token, or unset it")]))
        }
        Ok(token) => Ok(Some(Secret::new(token.trim()))),
        Err(_) if settings.listen.ip().is_loopback() => Ok(None),
        Err(_) => Err(StartError::Config(vec![format!(
            "listening on {} reaches beyond this machine and needs an admin token: set {variable}, or listen on 127.0.0.1",
            settings.listen
        )])),
    }
}

fn connectors(settings: &Settings) -> Result<Vec<connectors_file::ConnectorConfig>, StartError> {
    let Some(path) = &settings.connectors_config else { return Ok(Vec::new()) };
    connectors_file::load(path).map_err(problems)
}

fn problems(problems: Vec<connectors_file::Problem>) -> StartError {
    StartError::Config(problems.iter().map(ToString::to_string).collect())
}

async fn open_store(settings: &Settings, folder: &Path) -> Result<Store, StartError> {
    if settings.database_url.is_some() {
        let sentence =
            "database_url: this version keeps its state in the SQLite file of the state folder; leave the option out";
        return Err(StartError::Config(vec![sentence.to_owned()]));
    }
    let store = Store::open_sqlite(folder, &settings.store).await;
    Ok(store.with_context(|| format!("opening the store in `{}`", folder.display()))?)
}

async fn load_plugins(
    settings: &Settings,
    engine: &Arc<WasmEngine>,
    registry: &Arc<Registry>,
    routes: &Arc<Routes>,
    (native, clock): (Vec<Arc<dyn Plugin>>, Clock),
) -> Result<PluginFolder, StartError> {
    for plugin in native {
        routes.adopt(&plugin).await.map_err(problems)?;
        registry.serve(&format!("native:{}", plugin.manifest().kind), plugin, clock.now_ms());
    }
    let path = settings.plugin_folder();
    if settings.plugins.is_none() {
        std::fs::create_dir_all(&path).with_context(|| format!("creating the plugin folder `{}`", path.display()))?;
    }
    let adopter = Arc::new(Adoption(Arc::clone(routes)));
    let mut folder = PluginFolder::new(path.clone(), Arc::clone(engine), Arc::clone(registry), adopter, clock);
    folder
        .load_all()
        .await
        .map_err(|error| StartError::Config(vec![format!("plugin folder `{}`: {error}", path.display())]))?;
    let missing = routes.without_plugin();
    if missing.is_empty() {
        return Ok(folder);
    }
    let failures = registry.plugins().into_iter().filter_map(|report| {
        let error = report.error?;
        Some(format!("plugin `{}`: {error}", report.file))
    });
    // A kind whose plugin is there and failed has been spoken of.
    let failed: Vec<String> = registry.plugins().into_iter().filter_map(|report| report.kind).collect();
    let orphans = missing.into_iter().filter(|config| !failed.contains(&config.id.kind)).map(|config| {
        let sentence = format!(
            "no plugin in `{}` provides this kind for it (there are: {})",
            path.display(),
            registry.kinds().join(", ")
        );
        config.problem("", sentence).to_string()
    });
    Err(StartError::Config(failures.chain(orphans).collect()))
}

fn spawn_stages(
    tasks: &mut JoinSet<()>,
    settings: &Settings,
    (store, clock, phase): (&Store, &Clock, &Phase),
) -> Result<(), StartError> {
    let instance = clock.instance_id();
    let owner = format!("{}{instance}", executor::worker::FAMILY);
    let former = (executor::worker::FAMILY.to_owned(), owner.clone());
    let sweeper = executor::sweeper::run(store.clone(), clock.clone(), settings.queue.clone(), former, phase.token());
    tasks.spawn(async move { report("the sweeper", sweeper.await) });
    if settings.executor == ExecutorKind::Echo {
        let worker = Worker::new(store.clone(), clock.clone(), settings.queue.clone(), owner, Arc::new(Echo));
        let stop = phase.token();
        tasks.spawn(async move { report("the worker", worker.run(stop).await) });
    }
    let egress = Arc::new(Egress::new(settings.egress.clone()).context("building the HTTP client")?);
    let dispatcher = Dispatcher::new(store.clone(), egress, clock.clone(), settings.delivery.clone(), &instance);
    let stop = phase.token();
    tasks.spawn(async move { report("the dispatcher", dispatcher.run(stop).await) });
    Ok(())
}

/// A loop ends early only when the store has failed; then the whole daemon ends.
fn report(who: &str, ended: Result<(), crate::store::StoreError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "{who} stopped: {error}");
    }
}

fn router(api: Api, ingress: Ingress, token: Option<Secret>, settings: &Settings) -> Router {
    api::router(api, Guard::new(token))
        .layer(axum::extract::DefaultBodyLimit::max(settings.server.control_body_limit_bytes))
        .merge(ingress_http::router(ingress))
        .fallback(problem::route_not_found)
}

/// Connectors' durable state, read from the store.
struct StoredState(Store);

#[async_trait]
impl KeyValue for StoredState {
    async fn get(&self, connector: &ConnectorId, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(key_values::get(&self.0, &connector.to_string(), key).await?)
    }
}

/// Moves connectors onto a new plugin.
struct Adoption(Arc<Routes>);

#[async_trait]
impl Adopter for Adoption {
    async fn adopt(&self, plugin: &Arc<dyn Plugin>) -> Result<(), String> {
        self.0.adopt(plugin).await.map_err(|problems| {
            let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
            format!("configured connectors do not fit it: {}", sentences.join("; "))
        })
    }

    fn uses(&self, kind: &str) -> bool {
        self.0.uses(kind)
    }
}
