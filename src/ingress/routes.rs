//! Configured connectors, ready to take requests: plugin, settings, recipes, rules and rate limit of each.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{prepare::Rules, rate::RateLimit, verify::Verifier};
use crate::{
    config::connectors::{ConnectorConfig, Problem, Resolved, resolve},
    connectors::{Context, KeyValue, Plugin},
    delivery::targets,
    model::ids::{ConnectorId, SessionId},
};

/// One connector, ready.
pub struct Route {
    /// Parses requests.
    pub plugin: Arc<dyn Plugin>,
    /// What its calls may know.
    pub context: Arc<Context>,
    /// Authenticates callers.
    pub verifier: Verifier,
    /// What the host adds to its events.
    pub rules: Rules,
    /// Accepted events per second.
    pub rate: Arc<RateLimit>,
}

/// How a connector shows in the status.
#[derive(Debug, Serialize)]
pub struct RouteView {
    kind: String,
    name: String,
    plugin_digest: String,
    open: bool,
}

/// What all routes share.
#[derive(Clone)]
pub struct Surroundings {
    /// Durable state of connectors.
    pub key_value: Arc<dyn KeyValue>,
    /// Guest calls that one connector may have in flight.
    pub calls_per_connector: usize,
}

/// All connectors. Readers take one snapshot per request, so a change never reaches a request in flight.
pub struct Routes {
    configs: Vec<ConnectorConfig>,
    surroundings: Surroundings,
    table: ArcSwap<BTreeMap<ConnectorId, Arc<Route>>>,
}

impl Routes {
    /// No route yet: each comes with the plugin of its kind.
    pub fn new(configs: Vec<ConnectorConfig>, surroundings: Surroundings) -> Self {
        Self { configs, surroundings, table: ArcSwap::default() }
    }

    /// The route of `kind/name`.
    pub fn find(&self, id: &ConnectorId) -> Option<Arc<Route>> {
        self.table.load().get(id).cloned()
    }

    /// Puts every connector of the plugin's kind onto `plugin`, or none: when one of them does not fit, all stay where
    /// they are.
    pub async fn adopt(&self, plugin: &Arc<dyn Plugin>) -> Result<(), Vec<Problem>> {
        let mut routes = Vec::new();
        let mut problems = Vec::new();
        for config in self.configs.iter().filter(|config| config.id.kind == plugin.manifest().kind) {
            match self.build(config, plugin).await {
                Ok(route) => routes.push((config.id.clone(), Arc::new(route))),
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.table.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            table.extend(routes.iter().cloned());
            table
        });
        Ok(())
    }

    /// Connectors whose kind nobody provides.
    pub fn without_plugin(&self) -> Vec<&ConnectorConfig> {
        let table = self.table.load();
        self.configs.iter().filter(|config| !table.contains_key(&config.id)).collect()
    }

    /// Whether a connector of this kind is configured.
    pub fn uses(&self, kind: &str) -> bool {
        self.configs.iter().any(|config| config.id.kind == kind)
    }

    /// Every connector, in the order of kind and name.
    pub fn views(&self) -> Vec<RouteView> {
        let table = self.table.load();
        let view = |(id, route): (&ConnectorId, &Arc<Route>)| RouteView {
            kind: id.kind.clone(),
            name: id.name.clone(),
            plugin_digest: route.plugin.digest().to_owned(),
            open: route.verifier.is_open(),
        };
        table.iter().map(view).collect()
    }

    async fn build(&self, config: &ConnectorConfig, plugin: &Arc<dyn Plugin>) -> Result<Route, Vec<Problem>> {
        let manifest = plugin.manifest();
        let Resolved { settings, secrets } = resolve(config, manifest, &|name| std::env::var(name).ok())?;
        let mut problems: Vec<Problem> = config
            .host
            .default_reply_targets
            .iter()
            .filter_map(|target| targets::check(target).err())
            .map(|reason| config.problem("default_reply_targets", reason))
            .collect();
        let configured: Vec<String> = secrets.keys().cloned().collect();
        match plugin.check_settings(&settings, &configured).await {
            Ok(broken) => problems.extend(broken.into_iter().map(|reason| config.problem("", reason))),
            Err(fault) => problems.push(config.problem("", format!("the plugin could not check it: {fault}"))),
        }
        let fixed_session = match config.host.fixed_session_id.as_deref().map(SessionId::parse).transpose() {
            Ok(session) => session,
            Err(error) => {
                problems.push(config.problem("fixed_session_id", error.to_string()));
                None
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let per_second = config.host.ingress_events_per_second.unwrap_or(manifest.ingress.events_per_second);
        // A new version of the plugin changes neither what has been spent nor who is in flight.
        let former = self.find(&config.id);
        let rate =
            former.as_ref().map(|former| Arc::clone(&former.rate)).filter(|rate| rate.per_second() == per_second);
        let permits = former.as_ref().map(|former| Arc::clone(&former.context.permits));
        Ok(Route {
            verifier: Verifier::new(manifest, &settings, &secrets),
            rules: Rules {
                connector: config.id.clone(),
                fixed_session,
                create_sessions: config.host.session_policy.create_if_missing,
                payload_reply_targets: settings.get("allow_payload_reply_targets") == Some(&Value::Bool(true)),
                default_reply_targets: config.host.default_reply_targets.clone(),
            },
            rate: rate.unwrap_or_else(|| Arc::new(RateLimit::new(per_second))),
            context: Arc::new(Context {
                connector: config.id.clone(),
                settings: settings.to_string(),
                secrets,
                key_value: Arc::clone(&self.surroundings.key_value),
                permits: permits
                    .unwrap_or_else(|| Arc::new(Semaphore::new(self.surroundings.calls_per_connector.max(1)))),
            }),
            plugin: Arc::clone(plugin),
        })
    }
}
