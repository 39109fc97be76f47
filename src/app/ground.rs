//! What stands before anything runs: settings that fit, the state folder, the store and the vault.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use super::StartError;
use crate::{
    api::auth::{self, Auth, audit::Audit},
    assets::Assets,
    clock::Clock,
    config::Settings,
    duties::Duties,
    executor,
    metrics::Metrics,
    model::roster::Roster,
    registry::{self, definition::Definition},
    secrets::{master_key::MasterKeySource, run_token::RunTokens},
    state_folder::StateFolder,
    store::Store,
    vault::{Vault, VaultError},
};

/// Owners of duties in the store of the state folder, which is locked: those that are not this process are gone.
const DUTIES: &str = "duties:";

/// Everything that later parts stand on.
pub(super) struct Ground {
    pub(super) clock: Clock,
    pub(super) folder: StateFolder,
    pub(super) audit: Audit,
    pub(super) auth: Auth,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Store,
    pub(super) vault: Vault,
    pub(super) assets: Arc<Assets>,
    pub(super) executors: Arc<Roster>,
    /// What exactly one of several daemons does.
    pub(super) duties: Arc<Duties>,
    /// What receivers of runs show.
    pub(super) run_tokens: Arc<RunTokens>,
    /// The connectors of the file.
    pub(super) definitions: Vec<Definition>,
}

impl Ground {
    /// Checks what can be checked without touching anything, all of it, and then opens folder, store and vault.
    pub(super) async fn prepare(settings: &Settings) -> Result<Self, StartError> {
        let clock = Clock::system();
        let mut wrong = Vec::new();
        let rules = or_note(auth::Rules::load(&settings.auth, settings.listen, &clock), &mut wrong);
        let definitions = or_note(connectors_file(settings), &mut wrong);
        let source = or_note(MasterKeySource::from_env().map_err(|error| vec![error.to_string()]), &mut wrong);
        or_note(settings.check(), &mut wrong);
        or_note(settings.retention.check(), &mut wrong);
        let executors = or_note(executor::settings::roster(&settings.executor, &settings.executors), &mut wrong);
        let (Some(rules), Some(definitions), Some(source), Some(executors)) = (rules, definitions, source, executors)
        else {
            return Err(StartError::Config(wrong));
        };
        if !wrong.is_empty() {
            return Err(StartError::Config(wrong));
        }
        let folder = StateFolder::open(&settings.state_root)?;
        let audit = Audit::open(folder.path(), settings.auth.audit_bytes, clock.clone())
            .with_context(|| format!("opening the audit file in `{}`", folder.path().display()))?;
        let metrics = Metrics::new().context("preparing the metrics")?;
        let assets = Assets::open(folder.path(), settings.assets.clone())
            .with_context(|| format!("opening the folder of files in `{}`", folder.path().display()))?;
        let assets = Arc::new(assets);
        let links = Arc::clone(assets.links());
        let run_tokens = Arc::new(RunTokens::new(links.derived_key("run tokens")));
        let auth =
            Auth::new(rules, audit.clone(), Arc::clone(&metrics), clock.clone(), (links, Arc::clone(&run_tokens)));
        let store = open_store(settings, folder.path(), Arc::clone(&metrics)).await?;
        store.name_default_executor(executors.default_name());
        let duties = Duties::open(store.clone(), clock.clone(), DUTIES, &settings.duties).await;
        let duties = duties.context("freeing what a former process did")?;
        let executors = Arc::new(executors);
        let vault = Vault::open(&store, &clock, folder.path(), source).await.map_err(vault_failed)?;
        Ok(Self {
            assets,
            clock,
            folder,
            audit,
            auth,
            metrics,
            store,
            vault,
            executors,
            duties,
            run_tokens,
            definitions,
        })
    }
}

fn or_note<T>(done: Result<T, Vec<String>>, wrong: &mut Vec<String>) -> Option<T> {
    done.map_err(|mut sentences| wrong.append(&mut sentences)).ok()
}

fn connectors_file(settings: &Settings) -> Result<Vec<Definition>, Vec<String>> {
    let Some(path) = &settings.connectors_config else { return Ok(Vec::new()) };
    registry::file::load(path).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

async fn open_store(settings: &Settings, folder: &Path, metrics: Arc<Metrics>) -> Result<Store, StartError> {
    if settings.database_url.is_some() {
        let sentence =
            "database_url: this version keeps its state in the SQLite file of the state folder; leave the option out";
        return Err(StartError::Config(vec![sentence.to_owned()]));
    }
    let store = Store::open_sqlite(folder, &settings.store, metrics).await;
    Ok(store.with_context(|| format!("opening the store in `{}`", folder.display()))?)
}

/// A key or a store that is not as it should be is for the operator to mend: nothing was changed.
fn vault_failed(error: VaultError) -> StartError {
    match error {
        VaultError::Store(error) => StartError::Failed(error.into()),
        error => StartError::Config(vec![error.to_string()]),
    }
}
