//! The turn that every change takes: build, then put everything in place at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Connectors,
    build::{Assumed, Pending},
    definition::{Broken, Definition},
    entry::{Entry, Failure, Running, State},
    host_fields::{ADDITIONAL, DEFAULT},
    persist::{Remove, Tell},
    secret_fields,
    targets::Reachable,
};
use crate::{
    connectors::Plugin, delivery::pause::Cause, ingress::routes::Route, model::ids::ConnectorId, store::StoreError,
};

/// A definition that was tried.
pub(super) struct Tried {
    pub(super) definition: Arc<Definition>,
    pub(super) outcome: Result<Arc<Route>, Vec<Broken>>,
}

async fn with_targets(mut route: Route, reachable: &Reachable<'_>) -> Result<Arc<Route>, Vec<Broken>> {
    let rules = &mut route.rules;
    let default = reachable.check(DEFAULT, &rules.default_reply_targets).await;
    let additional = reachable.check(ADDITIONAL, &rules.additional_reply_targets).await;
    (rules.default_reply_targets, rules.additional_reply_targets) = match (default, additional) {
        (Ok(default), Ok(additional)) => (default, additional),
        (default, additional) => {
            return Err([default.err(), additional.err()].into_iter().flatten().flatten().collect());
        }
    };
    Ok(Arc::new(route))
}

impl Connectors {
    /// Tries definitions together, each on the plugin of its kind; `plugin` stands in for the one that serves its kind now.
    pub(super) async fn attempt(
        &self,
        definitions: Vec<Arc<Definition>>,
        plugin: Option<&Arc<dyn Plugin>>,
        assumed: &Assumed,
    ) -> Vec<Tried> {
        let known = self.known_secrets(&definitions, &assumed.secrets).await;
        let mut built = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let kind = &definition.id.kind;
            let plugin = plugin.filter(|plugin| plugin.manifest().kind == *kind).cloned();
            let route = match plugin.or_else(|| self.kinds.plugin(kind)) {
                Some(plugin) => self.builder.build(&definition, &plugin, &known).await,
                None => Err(vec![Broken::whole(self.nobody_provides(kind))]),
            };
            built.push((definition, route));
        }
        self.settle_claims(&mut built, &assumed.gone);
        // Targets come last: connectors of one change may send to each other.
        let reachable =
            Reachable::new(self, built.iter().map(|(definition, route)| (&definition.id, route.as_ref().ok())))
                .assuming(&assumed.connectors);
        let mut tried = Vec::with_capacity(built.len());
        for (definition, route) in built {
            let outcome = match route {
                Ok(route) => with_targets(route, &reachable).await,
                Err(broken) => Err(broken),
            };
            tried.push(Tried { definition, outcome });
        }
        tried
    }

    /// The secrets of all definitions, those that are about to be stored first. Read together, because a statement for each
    /// would be most of what many definitions cost. What is left out is looked for again, and then somebody hears why.
    async fn known_secrets(&self, definitions: &[Arc<Definition>], pending: &Pending) -> Pending {
        let fields = definitions.iter().map(|definition| &definition.fields);
        let named: BTreeSet<&str> = fields.flat_map(secret_fields::references).collect();
        let names: Vec<&str> = named.into_iter().filter(|name| !pending.contains_key(*name)).collect();
        let mut known = self.builder.vault.get_many(&names).await.unwrap_or_default();
        known.extend(pending.iter().map(|(name, secret)| (name.clone(), secret.clone())));
        known
    }

    pub(super) fn nobody_provides(&self, kind: &str) -> String {
        let kinds = self.kinds.kinds();
        let known = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
        format!("no plugin provides the kind `{kind}` (there are: {known})")
    }

    /// Puts what was tried in place, and takes away what is gone: one step for readers.
    pub(super) fn publish(&self, tried: Vec<Tried>, gone: &[ConnectorId]) {
        let now_ms = self.clock.now_ms();
        let mut entries: Vec<(ConnectorId, Option<Arc<Entry>>)> = gone.iter().map(|id| (id.clone(), None)).collect();
        let mut routes: Vec<(ConnectorId, Option<Arc<Route>>)> = gone.iter().map(|id| (id.clone(), None)).collect();
        for Tried { definition, outcome } in tried {
            let id = definition.id.clone();
            let (running, last_error) = match outcome {
                Ok(route) => {
                    let running = Running {
                        revision: definition.revision,
                        plugin_digest: route.plugin.digest().to_owned(),
                        since_ms: now_ms,
                    };
                    routes.push((id.clone(), Some(route)));
                    (Some(running), None)
                }
                Err(broken) => {
                    // What served before goes on serving.
                    let running = self.get(&id).and_then(|entry| entry.running.clone());
                    (running, Some(Failure { at_ms: now_ms, broken }))
                }
            };
            entries.push((id, Some(Arc::new(Entry { definition, running, last_error }))));
        }
        self.builder.routes.change(&routes);
        self.table.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            for (id, entry) in &entries {
                match entry {
                    Some(entry) => drop(table.insert(id.clone(), Arc::clone(entry))),
                    None => drop(table.remove(id)),
                }
            }
            table
        });
    }

    /// Connectors that were only moved in their file serve as before.
    pub(super) fn publish_moved(&self, moved: Vec<(Arc<Definition>, Arc<Entry>)>) {
        self.table.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            for (definition, entry) in &moved {
                let entry = Entry { definition: Arc::clone(definition), ..Entry::clone(entry) };
                table.insert(definition.id.clone(), Arc::new(entry));
            }
            table
        });
    }

    /// Forgets connectors that the file no longer has, and stops serving them.
    pub(super) async fn take_away(&self, gone: &[ConnectorId]) -> Result<(), StoreError> {
        for id in gone {
            let now_ms = self.clock.now_ms();
            let revision = self.get(id).map_or(0, |entry| entry.definition.revision);
            let remove = Remove { id: id.clone(), revision, state: false, unsealed: Vec::new(), now_ms };
            self.store.write(remove).await?;
        }
        self.publish(Vec::new(), gone);
        self.resume(gone, Cause::Deleted).await;
        Ok(())
    }

    /// Puts the plugin of this file into service, and every connector of its kind onto it. When one that serves does not fit it, all stay where they are;
    /// those that do not serve anyway stand in nobody's way.
    pub async fn adopt(&self, file: &str, plugin: &Arc<dyn Plugin>) -> Result<(), Vec<String>> {
        let _turn = self.turn.lock().await;
        let kind = &plugin.manifest().kind;
        // Those that send to the kind too: the plugin may refuse their targets, or write them in another form.
        let concerned = |entry: &Arc<Entry>| {
            let definition = &entry.definition;
            definition.id.kind == *kind || entry.running.is_some() && definition.sends_to_kind(kind)
        };
        let definitions =
            self.all().iter().filter(|entry| concerned(entry)).map(|entry| Arc::clone(&entry.definition)).collect();
        let tried = self.attempt(definitions, Some(plugin), &Assumed::default()).await;
        let mut refused = Vec::new();
        for Tried { definition, outcome } in &tried {
            let serves = self.get(&definition.id).is_some_and(|entry| entry.running.is_some());
            if let (Err(broken), true) = (outcome, serves) {
                refused.extend(broken.iter().map(|broken| definition.problem(broken)));
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        self.kinds.serve(file, Arc::clone(plugin), self.clock.now_ms());
        self.publish_and_tell(tried, "plugin").await;
        Ok(())
    }

    /// Tries connectors again that rest on this secret.
    pub(super) async fn secret_changed(&self, name: &str) {
        let users = self.users_of(name).iter().map(|entry| Arc::clone(&entry.definition)).collect();
        let tried = self.attempt(users, None, &Assumed::default()).await;
        self.publish_and_tell(tried, "secret").await;
    }

    /// Publishes changes that no command of their own has made durable, and tells of those that changed a connector's state.
    pub(super) async fn publish_and_tell(&self, tried: Vec<Tried>, cause: &'static str) {
        if tried.is_empty() {
            return;
        }
        let ids: Vec<ConnectorId> = tried.iter().map(|tried| tried.definition.id.clone()).collect();
        self.publish(tried, &[]);
        // A new plugin, or a start, is nothing that could mend a lock.
        match cause {
            "secret" => self.resume(&ids, Cause::Secret).await,
            "file" => self.resume(&ids, Cause::Definition).await,
            _ => {}
        }
        let entries: Vec<Arc<Entry>> = ids.iter().filter_map(|id| self.get(id)).collect();
        for entry in entries.iter().filter(|entry| entry.state() != State::Running) {
            let id = &entry.definition.id;
            for broken in entry.last_error.iter().flat_map(|failure| &failure.broken) {
                tracing::error!(connector = %id, cause, "{}", entry.definition.problem(broken));
            }
        }
        if let Err(error) = self.tell(&entries, cause).await {
            tracing::warn!(%error, "changes of connectors could not be told to event streams: {error}");
        }
    }

    async fn tell(&self, entries: &[Arc<Entry>], cause: &'static str) -> Result<(), StoreError> {
        let events = entries.iter().map(|entry| entry.told(cause)).collect();
        self.store.write(Tell { events }).await
    }
}
