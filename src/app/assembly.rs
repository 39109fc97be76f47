//! Connectors and plugins brought together: nothing listens until every connector of the file serves.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;

use super::{StartError, files::KeptFiles, ground::Ground};
use crate::{
    config::Settings,
    connectors::{
        KeyValue, Plugin,
        folder::{Adopter, PluginFolder},
        kinds::Kinds,
        wasm::WasmEngine,
    },
    egress::Egress,
    ingress::routes::Routes,
    model::ids::ConnectorId,
    registry::{Connectors, Surroundings, definition::Definition, start::BeginError},
    store::{Store, key_values},
};

/// The registry, with every plugin that is there now.
pub(super) struct Assembly {
    pub(super) connectors: Arc<Connectors>,
    pub(super) routes: Arc<Routes>,
    pub(super) plugins: PluginFolder,
    /// How guest memory is allocated, for people.
    pub(super) allocation: &'static str,
}

impl Assembly {
    /// Builds the registry from the file's connectors and the store's, and loads plugins.
    pub(super) async fn build(
        settings: &Settings,
        ground: &Ground,
        definitions: Vec<Definition>,
        (native, egress): (Vec<Arc<dyn Plugin>>, Arc<Egress>),
    ) -> Result<Self, StartError> {
        let engine = WasmEngine::new(settings.guests.clone(), ground.folder.path().join("compiled"), egress)
            .context("starting the WebAssembly engine")?;
        let surroundings = Surroundings {
            key_value: Arc::new(StoredState(ground.store.clone())),
            executors: Arc::clone(&ground.executors),
            metrics: Arc::clone(&ground.metrics),
            calls_per_connector: settings.guests.calls_per_connector,
            files: Arc::new(KeptFiles {
                assets: Arc::clone(&ground.assets),
                store: ground.store.clone(),
                clock: ground.clock.clone(),
            }),
            requests_per_connector: settings.guests.requests.per_connector,
            deliveries_per_connector: settings.guests.deliveries_per_connector,
            address_bytes: settings.delivery.http.address_bytes,
            gathering: settings.gathering,
        };
        let routes = Arc::new(Routes::default());
        let connectors = Arc::new(Connectors::new(
            (Arc::clone(&routes), Arc::new(Kinds::default())),
            (ground.store.clone(), ground.vault.clone()),
            ground.clock.clone(),
            surroundings,
        ));
        connectors.begin(definitions).await.map_err(begin_failed)?;
        let plugins = load_plugins(settings, &engine, &connectors, native).await?;
        let counted = Arc::clone(&connectors);
        ground.metrics.gauges.ask_about_connectors(move || counted.tally());
        Ok(Self { connectors, routes, plugins, allocation: engine.allocation() })
    }
}

fn begin_failed(error: BeginError) -> StartError {
    match error {
        BeginError::Twice(sentences) => StartError::Config(sentences),
        BeginError::Store(error) => StartError::Failed(error.into()),
    }
}

async fn load_plugins(
    settings: &Settings,
    engine: &Arc<WasmEngine>,
    connectors: &Arc<Connectors>,
    native: Vec<Arc<dyn Plugin>>,
) -> Result<PluginFolder, StartError> {
    let kinds = connectors.kinds();
    for plugin in native {
        let file = format!("native:{}", plugin.manifest().kind);
        connectors.adopt(&file, &plugin).await.map_err(StartError::Config)?;
    }
    let path = settings.plugin_folder();
    if settings.plugins.is_none() {
        std::fs::create_dir_all(&path).with_context(|| format!("creating the plugin folder `{}`", path.display()))?;
    }
    let adopter = Arc::new(Adoption(Arc::clone(connectors)));
    let mut folder = PluginFolder::new(path.clone(), Arc::clone(engine), Arc::clone(kinds), adopter);
    folder
        .load_all()
        .await
        .map_err(|error| StartError::Config(vec![format!("plugin folder `{}`: {error}", path.display())]))?;
    let problems = connectors.judge_start().await;
    if problems.is_empty() {
        return Ok(folder);
    }
    // A plugin that failed may be the reason.
    let failures = kinds.plugins().into_iter().filter_map(|report| {
        let error = report.error?;
        Some(format!("plugin `{}`: {error}", report.file))
    });
    Err(StartError::Config(failures.chain(problems).collect()))
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
struct Adoption(Arc<Connectors>);

#[async_trait]
impl Adopter for Adoption {
    async fn adopt(&self, file: &str, plugin: &Arc<dyn Plugin>) -> Result<(), String> {
        let adopted = self.0.adopt(file, plugin).await;
        adopted.map_err(|sentences| format!("connectors that run do not fit it: {}", sentences.join("; ")))
    }

    fn uses(&self, kind: &str) -> bool {
        self.0.uses(kind)
    }
}
