//! Changes through the API: a connector is made, changed, tried out or deleted.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Connectors, NAME_RULE,
    build::{Assumed, Pending},
    definition::{Broken, Definition, Source},
    entry::Entry,
    pauses,
    persist::{Remove, Save},
    secret_fields, upsert,
};
use crate::{
    delivery::pause::Cause,
    model::{happening::connector_updated, ids::ConnectorId, target::ReplyTarget},
    store::{StoreError, connectors::StoredConnector},
    vault::VaultError,
};

/// Size of a connector's fields, in bytes: they are kept in memory.
const DEFINITION_BYTES: usize = 256 * 1024;

/// How a connector is to be changed.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Check everything, change nothing.
    pub dry_run: bool,
    /// Only when the connector is at this revision.
    pub if_revision: Option<i64>,
    /// Connectors that are about to be made: reply targets may lead to them. For dry runs only, else nothing sees to it that
    /// they come.
    pub expecting: Vec<ConnectorId>,
}

/// What became of a change.
#[derive(Debug)]
pub struct Put {
    /// The connector as it stands, or would stand after a dry run.
    pub entry: Arc<Entry>,
    /// Whether it is new.
    pub created: bool,
    /// Whether anything is different.
    pub changed: bool,
}

/// Why a change was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No plugin provides the kind.
    #[error("{0}")]
    UnknownKind(String),
    /// There is no such connector.
    #[error("there is no connector `{0}`")]
    Unknown(ConnectorId),
    /// It stands in the connectors file.
    #[error("connector `{0}` stands in the connectors file: change it there, the daemon follows the file")]
    FileBacked(ConnectorId),
    /// One of its settings stays as it is.
    #[error("the `{1}` of connector `{0}` stays as it is: make another connector, or delete this one first")]
    Fixed(ConnectorId, String),
    /// It was changed by somebody else meanwhile.
    #[error("the connector is at revision {0}: read it again, and make the change on top of that")]
    Stale(i64),
    /// It breaks rules.
    #[error("{}", list(.0))]
    Invalid(Vec<Broken>),
    /// Others rest on it; who, and where.
    #[error("other connectors send their answers to `{0}`: change them first ({list})", list = list_ids(.1))]
    Referred(ConnectorId, Vec<(ConnectorId, String)>),
    /// A secret has no valid name or value, or the sealed store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(broken: &[Broken]) -> String {
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn list_ids(referrers: &[(ConnectorId, String)]) -> String {
    referrers.iter().map(|(id, pointer)| format!("{id} at {pointer}")).collect::<Vec<_>>().join(", ")
}

/// Default targets that a session lost, because their connector is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLoss {
    /// The session.
    pub session: crate::model::ids::SessionId,
    /// What was taken out of its list.
    pub removed: Vec<ReplyTarget>,
}

impl Connectors {
    /// Makes or changes a connector: fields that `change` names, the others stay.
    pub async fn put(&self, id: &ConnectorId, change: Map<String, Value>, how: How) -> Result<Put, Refused> {
        let _turn = self.turn.lock().await;
        let Some(plugin) = self.kinds.plugin(&id.kind) else {
            return Err(Refused::UnknownKind(self.nobody_provides(&id.kind)));
        };
        if !ConnectorId::name_is_valid(&id.name) {
            return Err(Refused::Invalid(vec![Broken::field("name", NAME_RULE)]));
        }
        let current = self.get(id);
        self.may_change(id, current.as_deref(), how.if_revision)?;
        let former = current.as_ref().map(|entry| &entry.definition);
        let nothing = Map::new();
        let fields = former.map_or(&nothing, |former| &former.fields);
        let mut merged = upsert::merge(id, plugin.manifest(), fields, change).map_err(Refused::Invalid)?;
        let fixed = |name: &&&str| former.is_some_and(|former| former.fields.get(**name) != merged.fields.get(**name));
        if let Some(name) = plugin.kept_settings().iter().find(fixed) {
            return Err(Refused::Fixed(id.clone(), (*name).to_owned()));
        }
        let bytes = Value::Object(merged.fields.clone()).to_string().len();
        if bytes > DEFINITION_BYTES {
            let detail =
                format!("its fields have {bytes} bytes as JSON, the limit is {DEFINITION_BYTES}: leave some out");
            return Err(Refused::Invalid(vec![Broken::whole(detail)]));
        }
        self.drop_known(&mut merged.pending).await?;
        let changed = former.is_none_or(|former| former.fields != merged.fields) || !merged.pending.is_empty();
        let definition = Arc::new(Definition {
            id: id.clone(),
            source: Source::Daemon,
            revision: former.map_or(0, |former| former.revision) + i64::from(changed),
            fields: merged.fields,
            place: None,
        });
        let assumed = Assumed { secrets: merged.pending, connectors: how.expecting, gone: Vec::new() };
        let tried = self.attempt(vec![Arc::clone(&definition)], None, &assumed).await;
        let broken = tried.iter().find_map(|tried| tried.outcome.as_ref().err());
        if let Some(broken) = broken {
            return Err(Refused::Invalid(broken.clone()));
        }
        let created = former.is_none();
        if how.dry_run {
            let running = current.as_ref().and_then(|entry| entry.running.clone());
            return Ok(Put { entry: Arc::new(Entry { definition, running, last_error: None }), created, changed });
        }
        if changed {
            self.save(&definition, former, assumed.secrets).await?;
        }
        // The same words again are a wish to try again, when something stood against them.
        if changed || current.is_some_and(|entry| entry.last_error.is_some()) {
            self.publish(tried, &[]);
            self.resume([id], Cause::Definition).await;
        }
        let entry = self.get(id).ok_or_else(|| Refused::Unknown(id.clone()))?;
        Ok(Put { entry, created, changed })
    }

    /// Deletes a connector with its durable state and the secrets that were made for it. Sessions whose default targets
    /// named it lose those targets only.
    pub async fn delete(&self, id: &ConnectorId, if_revision: Option<i64>) -> Result<Vec<SessionLoss>, Refused> {
        let _turn = self.turn.lock().await;
        let entry = self.get(id).ok_or_else(|| Refused::Unknown(id.clone()))?;
        self.may_change(id, Some(&entry), if_revision)?;
        let referrers = self.referrers(id);
        if !referrers.is_empty() {
            return Err(Refused::Referred(id.clone(), referrers));
        }
        let unsealed = self.orphaned(id, &entry.definition.fields, &Map::new());
        let revision = entry.definition.revision;
        let remove = Remove { id: id.clone(), revision, state: true, unsealed, now_ms: self.clock.now_ms() };
        let lost = self.store.write(remove).await?;
        self.publish(Vec::new(), std::slice::from_ref(id));
        self.resume([id], Cause::Deleted).await;
        Ok(lost)
    }

    /// A value that is stored already is no change.
    async fn drop_known(&self, pending: &mut Pending) -> Result<(), Refused> {
        let mut known = Vec::new();
        for (name, secret) in pending.iter() {
            let stored = self.builder.vault.get(name).await?;
            if stored.is_some_and(|stored| stored.expose() == secret.expose()) {
                known.push(name.clone());
            }
        }
        known.iter().for_each(|name| drop(pending.remove(name)));
        Ok(())
    }

    fn may_change(&self, id: &ConnectorId, entry: Option<&Entry>, if_revision: Option<i64>) -> Result<(), Refused> {
        if entry.is_some_and(|entry| entry.definition.source == Source::File) {
            return Err(Refused::FileBacked(id.clone()));
        }
        let revision = entry.map_or(0, |entry| entry.definition.revision);
        match if_revision {
            Some(expected) if expected != revision => Err(Refused::Stale(revision)),
            _ => Ok(()),
        }
    }

    async fn save(
        &self,
        definition: &Definition,
        former: Option<&Arc<Definition>>,
        pending: Pending,
    ) -> Result<(), Refused> {
        let id = &definition.id;
        let unsealed = match former {
            Some(former) => self.orphaned(id, &former.fields, &definition.fields),
            None => Vec::new(),
        };
        let mut seals = Vec::with_capacity(pending.len());
        for (name, secret) in &pending {
            seals.push(self.builder.vault.seal(name, secret)?);
        }
        let row = StoredConnector {
            id: id.clone(),
            revision: definition.revision,
            definition: Value::Object(definition.fields.clone()).to_string(),
        };
        let change = if former.is_some() { "changed" } else { "created" };
        let told = connector_updated(&id.to_string(), change, definition.revision);
        // Others that refer to the same secrets get the new values too.
        let others: Vec<_> = pending
            .keys()
            .map(|name| {
                let users = self.users_of(name).into_iter().filter(|entry| entry.definition.id != *id);
                users.map(|entry| Arc::clone(&entry.definition)).collect::<Vec<_>>()
            })
            .collect();
        let mut renewed = vec![(id.to_string(), Cause::Definition)];
        renewed.extend(others.iter().flatten().map(|other| (other.id.to_string(), Cause::Secret)));
        let save = Save { row, seals, unsealed, told, renewed, now_ms: self.clock.now_ms() };
        pauses::log_lifted(&self.store.write(save).await?);
        for users in others {
            let tried = self.attempt(users, None, &Assumed::default()).await;
            self.publish_and_tell(tried, "secret").await;
        }
        Ok(())
    }

    /// Secrets that were made for a connector, that it no longer names, and that nobody else does.
    fn orphaned(&self, id: &ConnectorId, before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
        let prefix = upsert::own_secret(id, "");
        let stored = self.stored_secrets(id, after);
        let kept = secret_fields::references(after);
        let own = secret_fields::references(before).into_iter().filter(|name| {
            let is_own = name.strip_prefix(&prefix).is_some_and(|slot| is_slot_of(slot, before));
            is_own && !kept.contains(name) && !stored.iter().any(|other| other == name)
        });
        let alone = own.filter(|name| self.users_of(name).iter().all(|entry| entry.definition.id == *id));
        alone.map(str::to_owned).collect()
    }

    /// Connectors whose targets lead to `id`, with the JSON pointer of the first such target.
    pub(super) fn referrers(&self, id: &ConnectorId) -> Vec<(ConnectorId, String)> {
        let others = self.all().into_iter().filter(|entry| entry.definition.id != *id);
        others.filter_map(|entry| Some((entry.definition.id.clone(), entry.definition.refers_to(id)?))).collect()
    }
}

/// Whether a connector with these fields can have such a slot: one of its own, or one of an entry in a list.
fn is_slot_of(slot: &str, fields: &Map<String, Value>) -> bool {
    match *slot.split('.').collect::<Vec<_>>() {
        [_] => true,
        [list, _, _] => fields.get(list).is_some_and(Value::is_array),
        _ => false,
    }
}
