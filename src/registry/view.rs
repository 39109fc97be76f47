//! How connectors show to operators (contract section 2.7): every field but the values of secrets, and how they fare.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Connectors,
    definition::Source,
    entry::{Entry, State},
    secret_fields, secret_lists,
};
use crate::{
    connectors::{Plugin, health::Health, manifest::HOST_FIELDS},
    ingress::poll::PollStatus,
    model::pause::Pause,
    wire::problem::FieldError,
};

/// A connector.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Connector)]
pub struct ConnectorView {
    /// Its kind.
    kind: String,
    /// Its name.
    name: String,
    /// Whether the connectors file or the API made it.
    source: Source,
    /// Grows with each change.
    revision: i64,
    /// Its fields as they were written; a secret slot shows `{configured, source, env?, secret_ref?}`, and so does the
    /// secret of each entry in a list.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    fields: Map<String, Value>,
    /// What is wanted, what serves, and what is wrong.
    status: StatusView,
}

/// How a connector fares.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorStatus)]
pub struct StatusView {
    /// In a word.
    state: State,
    /// What is wanted.
    desired: DesiredView,
    /// What serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    running: Option<RunningView>,
    /// Why what serves is not what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<ErrorView>,
    /// Why its deliveries and files wait: its platform has locked it out. Absent when they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    paused: Option<Pause>,
    /// How its poller fares, where its kind polls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    polling: Option<PollStatus>,
    /// How registering it at its platform fares, where its kind does that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    activation: Option<PollStatus>,
    /// How its other side fares, where its kind keeps an eye on that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    health: Option<Health>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DesiredConnector)]
struct DesiredView {
    revision: i64,
    /// The plugin that provides the kind now; absent when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plugin_digest: Option<String>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RunningConnector)]
struct RunningView {
    revision: i64,
    plugin_digest: String,
    since_ms: i64,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorFailure)]
struct ErrorView {
    at_ms: i64,
    errors: Vec<FieldError>,
}

/// A connector at a glance, for the daemon's status.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorGlance)]
pub struct Glance {
    kind: String,
    name: String,
    source: Source,
    state: State,
    /// Whether anybody may call it.
    open: bool,
    /// The code that serves; absent when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plugin_digest: Option<String>,
    /// Why its deliveries and files wait: its platform has locked it out. Absent when they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    paused: Option<Pause>,
    /// How its other side fares, where its kind keeps an eye on that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    health: Option<Health>,
}

impl Connectors {
    /// A connector at a glance; `paused` are the connectors whose deliveries wait.
    pub fn glance(&self, entry: &Entry, paused: &BTreeMap<String, Pause>) -> Glance {
        let id = &entry.definition.id;
        let route = self.routes().find(id);
        Glance {
            kind: id.kind.clone(),
            name: id.name.clone(),
            source: entry.definition.source,
            state: entry.state(),
            open: route.as_ref().is_some_and(|route| route.verifier.is_open()),
            plugin_digest: entry.running.as_ref().map(|running| running.plugin_digest.clone()),
            paused: paused.get(&id.to_string()).cloned(),
            health: route.and_then(|route| route.plugin.health(id)),
        }
    }

    /// A connector as operators see it; `paused` are the connectors whose deliveries wait.
    pub fn view(&self, entry: &Entry, paused: &BTreeMap<String, Pause>) -> ConnectorView {
        let definition = &entry.definition;
        let plugin = self.kinds().plugin(&definition.id.kind);
        let fields = match (&plugin, definition.source) {
            (Some(plugin), _) => redacted(&definition.fields, &**plugin),
            // What is stored holds no value. What a file holds is unknown while nobody says which fields are secrets.
            (None, Source::Daemon) => definition.fields.clone(),
            (None, Source::File) => host_fields_only(&definition.fields),
        };
        let route = self.routes().find(&definition.id);
        let status = StatusView {
            state: entry.state(),
            desired: DesiredView {
                revision: definition.revision,
                plugin_digest: plugin.map(|plugin| plugin.digest().to_owned()),
            },
            running: entry.running.as_ref().map(|running| RunningView {
                revision: running.revision,
                plugin_digest: running.plugin_digest.clone(),
                since_ms: running.since_ms,
            }),
            last_error: entry.last_error.as_ref().map(|failure| ErrorView {
                at_ms: failure.at_ms,
                errors: failure
                    .broken
                    .iter()
                    .map(|broken| FieldError { pointer: broken.pointer.clone(), detail: broken.detail.clone() })
                    .collect(),
            }),
            paused: paused.get(&definition.id.to_string()).cloned(),
            polling: route.as_ref().filter(|route| route.plugin.polls()).map(|route| route.poll.status()),
            activation: route.as_ref().filter(|route| route.plugin.activates()).map(|route| route.activation.status()),
            health: route.as_ref().and_then(|route| route.plugin.health(&definition.id)),
        };
        let id = &definition.id;
        ConnectorView {
            kind: id.kind.clone(),
            name: id.name.clone(),
            source: definition.source,
            revision: definition.revision,
            fields,
            status,
        }
    }
}

fn redacted(fields: &Map<String, Value>, plugin: &dyn Plugin) -> Map<String, Value> {
    let mut shown = fields.clone();
    plugin.redact(&mut shown);
    for slot in plugin.manifest().secrets.keys() {
        // What breaks the rules is not shown either.
        let view = match secret_fields::take(&mut shown, "", slot) {
            Ok(written) => secret_fields::redacted(written.as_ref()),
            Err(_) => json!({ "configured": false }),
        };
        shown.insert(slot.clone(), view);
    }
    for (name, list) in &plugin.manifest().secret_lists {
        let entries = secret_lists::take(&mut shown, name, list).unwrap_or_default();
        if !entries.is_empty() {
            shown.insert(name.clone(), secret_lists::redacted(&entries, list));
        }
    }
    shown
}

fn host_fields_only(fields: &Map<String, Value>) -> Map<String, Value> {
    let known = fields.iter().filter(|(name, _)| HOST_FIELDS.contains(&name.as_str()));
    known.map(|(name, value)| (name.clone(), value.clone())).collect()
}
