//! Executors made of their settings: one worker for each that the daemon performs itself.

use std::sync::Arc;

use super::StartError;
use crate::{
    clock::Clock,
    config::Settings,
    egress::Egress,
    executor::{
        Executor,
        echo::Echo,
        health::Health,
        openai::OpenAi,
        push::{self, Push},
        settings::ExecutorSettings,
        worker::Post,
    },
    model::roster::{ExecutorKind, Roster},
    secrets::run_token::RunTokens,
    store::{Store, StoreError, sessions},
    vault::Vault,
};

/// What the daemon's own executors stand on.
pub(super) struct Means {
    pub(super) store: Store,
    pub(super) vault: Vault,
    pub(super) egress: Arc<Egress>,
    pub(super) clock: Clock,
    pub(super) tokens: Arc<RunTokens>,
    pub(super) health: Arc<Health>,
}

/// A post for each executor that the daemon performs itself.
pub(super) fn posts(settings: &Settings, roster: &Roster, means: &Means) -> Result<Vec<Post>, StartError> {
    let (mut posts, mut wrong) = (Vec::new(), Vec::new());
    for (name, kind) in roster.all().filter(|(_, kind)| *kind != ExecutorKind::Claim) {
        let section = settings.executors.get(name);
        let made: Result<Arc<dyn Executor>, Vec<String>> = match section {
            Some(ExecutorSettings::Openai(openai)) => means.openai(openai.clone()),
            Some(ExecutorSettings::Push(push)) => means.push(name, push.clone(), settings.queue.default_lease_ms),
            _ => Ok(Arc::new(Echo)),
        };
        let concurrent_runs = section.and_then(ExecutorSettings::concurrent_runs);
        match made {
            Ok(executor) => posts.push(Post {
                name: name.to_owned(),
                health: Arc::clone(&means.health),
                serves: roster.served_by(name),
                concurrent_runs: concurrent_runs.unwrap_or(settings.queue.concurrent_runs),
                executor,
            }),
            Err(sentences) => {
                wrong.extend(sentences.into_iter().map(|sentence| format!("executors.{name}.{sentence}")));
            }
        }
        tracing::debug!(executor = name, ?kind, "executor {name} is ready");
    }
    if wrong.is_empty() { Ok(posts) } else { Err(StartError::Config(wrong)) }
}

impl Means {
    fn openai(
        &self,
        settings: crate::executor::openai::settings::OpenAiSettings,
    ) -> Result<Arc<dyn Executor>, Vec<String>> {
        let made = OpenAi::new(settings, (self.store.clone(), self.vault.clone()), Arc::clone(&self.egress))?;
        Ok(Arc::new(made))
    }

    fn push(
        &self,
        name: &str,
        settings: push::settings::PushSettings,
        default_lease_ms: i64,
    ) -> Result<Arc<dyn Executor>, Vec<String>> {
        let ground = push::Ground {
            store: self.store.clone(),
            clock: self.clock.clone(),
            vault: self.vault.clone(),
            egress: Arc::clone(&self.egress),
            tokens: Arc::clone(&self.tokens),
            default_lease_ms,
        };
        Ok(Arc::new(Push::new(name, settings, ground)?))
    }
}

/// Says which sessions nobody will perform.
pub(super) async fn tell_of_orphans(store: &Store, roster: &Roster) -> Result<(), StoreError> {
    for (name, count) in sessions::waiting(store).await? {
        if !name.is_empty() && roster.kind(&name).is_none() {
            tracing::warn!(
                executor = name,
                count,
                "{count} sessions have runs that wait for the executor `{name}`, which is not configured any more: \
                 put its section back, or cancel the runs"
            );
        }
    }
    Ok(())
}
