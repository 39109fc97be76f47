//! A route made of a definition, or every rule that stands against it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    Surroundings,
    definition::{Broken, Definition},
    resolve::{self, Parts},
    secret_fields::{SecretSource, Written},
    secret_lists,
};
use crate::{
    connectors::{Context, Defined, Plugin, StoredSecret, manifest::Manifest, outbound::Outbound},
    ingress::{
        poll::PollState,
        prepare::Rules,
        rate::RateLimit,
        routes::{Route, Routes},
        verify::Verifier,
    },
    model::ids::ConnectorId,
    secrets::{Secret, SecretSet, mask},
    vault::Vault,
};

/// What routes are built from.
pub(super) struct Builder {
    pub(super) routes: Arc<Routes>,
    pub(super) vault: Vault,
    pub(super) surroundings: Surroundings,
}

/// Secrets that are known without a look into the vault, by name: those that are about to be stored come first.
pub(super) type Pending = BTreeMap<String, Secret>;

/// What is taken for given although it is not there yet.
#[derive(Default)]
pub(super) struct Assumed {
    pub(super) secrets: Pending,
    pub(super) connectors: Vec<ConnectorId>,
    /// Connectors that are taken away in the same step.
    pub(super) gone: Vec<ConnectorId>,
}

impl Builder {
    /// Builds a route, its reply targets unchecked. Rules are checked in steps, because each rests on the one before: the
    /// fields and the values of secrets, then the plugin's own rules.
    pub(super) async fn build(
        &self,
        definition: &Definition,
        plugin: &Arc<dyn Plugin>,
        pending: &Pending,
    ) -> Result<Route, Vec<Broken>> {
        let manifest = plugin.manifest();
        let (parts, mut broken) = resolve::sort(&definition.fields, manifest);
        broken.extend(secret_lists::check_name(&definition.id.name, manifest.secret_lists.keys()));
        if let Some(Err(unknown)) = parts.host.executor.as_deref().map(|name| self.surroundings.executors.check(name)) {
            broken.push(Broken::field("executor", unknown));
        }
        let mut secrets = self.values(&parts, pending, &mut broken).await;
        if !broken.is_empty() {
            return Err(broken);
        }
        let outbound = self.outbound(manifest, &parts, &mut broken);
        broken.extend(parts.host.check_sending(&definition.id.kind, plugin.delivers()));
        broken.extend(resolve::check_door(manifest, &parts, &secrets));
        if plugin.delivers() {
            broken.extend(resolve::check_answers(manifest, &parts, &secrets));
        }
        let private_network = parts.host.allow_private_network;
        let defined = Defined { connector: &definition.id, settings: &parts.settings, private_network };
        let wrong = plugin.check_definition(&defined).into_iter();
        broken.extend(wrong.map(|(pointer, sentence)| Broken::at(pointer, sentence)));
        let configured: Vec<String> = secrets.keys().cloned().collect();
        match plugin.check_settings(&parts.settings, &configured).await {
            Ok(own) => broken.extend(own.into_iter().map(Broken::whole)),
            Err(fault) => broken.push(Broken::whole(format!("the plugin could not check it: {fault}"))),
        }
        for stored in parts.settings.as_object().map(|settings| plugin.stored_secrets(settings)).unwrap_or_default() {
            match self.stored(&stored, pending).await {
                Ok(secret) => drop(secrets.insert(stored.slot, secret)),
                Err(wrong) => broken.push(wrong),
            }
        }
        if broken.is_empty() { Ok(self.route(definition, plugin, parts, (secrets, outbound))) } else { Err(broken) }
    }

    /// Where it may send requests, or what is wrong with the settings that say so.
    fn outbound(&self, manifest: &Manifest, parts: &Parts, broken: &mut Vec<Broken>) -> Outbound {
        Outbound::new(manifest, &parts.settings, parts.host.allow_private_network).unwrap_or_else(|wrong| {
            broken.extend(wrong.into_iter().map(|(pointer, sentence)| Broken::at(pointer, sentence)));
            Outbound::default()
        })
    }

    async fn values(&self, parts: &Parts, pending: &Pending, broken: &mut Vec<Broken>) -> SecretSet {
        let mut secrets = SecretSet::new();
        for (slot, written) in &parts.secrets {
            match self.value(written, pending).await {
                Ok(secret) if is_blank(&secret) => {
                    let detail = "the secret is blank: give one, or leave the field out";
                    broken.push(Broken::at(&written.pointer, detail));
                }
                Ok(secret) => {
                    mask::remember(&secret);
                    secrets.insert(slot.clone(), secret);
                }
                Err(wrong) => broken.push(wrong),
            }
        }
        secrets
    }

    async fn value(&self, written: &Written, pending: &Pending) -> Result<Secret, Broken> {
        let wrong = |detail: String| Broken::at(&written.pointer, detail);
        match &written.source {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            SecretSource::Env(name) => std::env::var(name)
                .map(Secret::new)
                .map_err(|_| wrong(format!("the environment variable `{name}` is not set"))),
            SecretSource::Reference(name) => self.referred(name, pending, wrong).await,
        }
    }

    async fn referred(
        &self,
        name: &str,
        pending: &Pending,
        wrong: impl Fn(String) -> Broken,
    ) -> Result<Secret, Broken> {
        if let Some(secret) = pending.get(name) {
            return Ok(secret.clone());
        }
        match self.vault.get(name).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => {
                let detail = format!("there is no secret `{name}`: store it first");
                Err(Broken { missing_secret: true, ..wrong(detail) })
            }
            Err(error) => Err(wrong(format!("secret `{name}` cannot be read: {error}"))),
        }
    }

    /// A secret that the settings name. Whoever asks for it is given text.
    async fn stored(&self, stored: &StoredSecret, pending: &Pending) -> Result<Secret, Broken> {
        let wrong = |detail: String| Broken::at(stored.pointer.as_str(), detail);
        let secret = self.referred(&stored.secret, pending, wrong).await?;
        if is_blank(&secret) || std::str::from_utf8(secret.expose()).is_err() {
            return Err(wrong(format!("secret `{}` is blank or no text: give one that is", stored.secret)));
        }
        mask::remember(&secret);
        Ok(secret)
    }

    fn route(
        &self,
        definition: &Definition,
        plugin: &Arc<dyn Plugin>,
        parts: Parts,
        (secrets, outbound): (SecretSet, Outbound),
    ) -> Route {
        let Parts { host, settings, .. } = parts;
        let id = &definition.id;
        let manifest = plugin.manifest();
        let per_second = host.ingress_events_per_second.unwrap_or(manifest.ingress.events_per_second);
        // A change alters neither what has been spent nor who is in flight.
        let former = self.routes.find(id);
        let rate =
            former.as_ref().map(|former| Arc::clone(&former.rate)).filter(|rate| rate.per_second() == per_second);
        let shared = &self.surroundings;
        let [permits, delivery_permits, request_permits] = match former.as_ref().map(|former| &former.context) {
            Some(former) => [&former.permits, &former.delivery_permits, &former.request_permits].map(Arc::clone),
            None => {
                [shared.calls_per_connector, shared.deliveries_per_connector, shared.requests_per_connector].map(places)
            }
        };
        let counts = shared.metrics.for_kind(&id.kind);
        Route {
            closed: manifest.ingress.is_closed(&settings),
            verifier: Verifier::new(manifest, &settings, &secrets),
            rules: Rules {
                connector: id.clone(),
                fixed_session: host.fixed_session,
                executor: host.executor,
                create_sessions: host.create_sessions,
                payload_reply_targets: settings.get("allow_payload_reply_targets") == Some(&Value::Bool(true)),
                delivers: plugin.delivers(),
                default_reply_targets: host.default_reply_targets,
                include_self_output: host.include_self_output.unwrap_or(true),
                additional_reply_targets: host.additional_reply_targets,
                fetches: plugin.fetches(),
                gathering: shared.gathering,
            },
            counts: Arc::clone(&counts),
            rate: rate.unwrap_or_else(|| Arc::new(RateLimit::new(per_second))),
            context: Arc::new(Context {
                connector: id.clone(),
                settings: settings.to_string(),
                secrets,
                key_value: Arc::clone(&shared.key_value),
                permits,
                delivery_permits,
                unknown: host.unknown_deliveries.unwrap_or(manifest.delivery.unknown),
                files: Arc::clone(&shared.files),
                outbound,
                request_permits,
                counts,
            }),
            plugin: Arc::clone(plugin),
            poll: PollState::default(),
            activation: PollState::default(),
        }
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.max(1)))
}

fn is_blank(secret: &Secret) -> bool {
    secret.expose().trim_ascii().is_empty()
}
