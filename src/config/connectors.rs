//! The connectors file (contract section 2.1): an array of tables for each kind that the contract names, and
//! `[[connectors]]` with a `kind` for those of plugins.
//!
//! Reading it needs no plugin; [`resolve()`] then judges a connector by its kind's manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use toml_edit::Table;

pub use super::located::Problem;
use super::located::{Source, suggestion};
use crate::model::{ids::ConnectorId, target::ReplyTarget};

mod json;
mod resolve;

pub use resolve::{Resolved, resolve};

/// Arrays of tables whose name says the kind.
const ARRAYS: [(&str, &str); 4] = [
    ("http_connectors", "http"),
    ("slack_connectors", "slack"),
    ("telegram_connectors", "telegram"),
    ("external_connectors", "external"),
];

/// The array whose tables say their kind.
const ANY_KIND: &str = "connectors";

/// One connector as it was written.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// Kind and name.
    pub id: ConnectorId,
    /// What the host itself reads.
    pub host: HostFields,
    /// What belongs to the kind: settings and secrets.
    rest: Map<String, Value>,
    file: PathBuf,
    line: Option<usize>,
    lines: BTreeMap<String, usize>,
}

/// Fields that every connector has (contract sections 2.2 and 2.3).
#[derive(Clone, Debug, Default)]
pub struct HostFields {
    /// Where all events go.
    pub fixed_session_id: Option<String>,
    /// Whether callers need not authenticate.
    pub allow_unauthenticated_ingress: bool,
    /// Accepted events per second; the kind's own rate when absent.
    pub ingress_events_per_second: Option<u32>,
    /// Where outputs go when an event names no target.
    pub default_reply_targets: Vec<ReplyTarget>,
    /// What may become of unknown sessions.
    pub session_policy: SessionPolicy,
}

/// What may become of unknown sessions. The reference's personas and scopes belong to an agent runtime; a file that relies
/// on them is refused rather than run with fewer restrictions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionPolicy {
    /// Whether they are made.
    pub create_if_missing: bool,
}

impl ConnectorConfig {
    /// Something to mend in this connector; an empty `field` means all of it.
    pub fn problem(&self, field: &str, sentence: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.lines.get(field).copied().or(self.line),
            field: if field.is_empty() { self.id.to_string() } else { format!("{}: `{field}`", self.id) },
            sentence: sentence.into(),
        }
    }
}

/// Reads the file, or says everything that is wrong with it.
pub fn load(path: &Path) -> Result<Vec<ConnectorConfig>, Vec<Problem>> {
    let source = Source::read(path).map_err(|problem| vec![problem])?;
    let document = source.document().map_err(|problem| vec![problem])?;
    let mut connectors = Vec::new();
    let mut problems = Vec::new();
    for (name, item) in document.as_table() {
        let kind = ARRAYS.iter().find(|(array, _)| *array == name).map(|(_, kind)| *kind);
        let span = document.as_table().key(name).and_then(toml_edit::Key::span);
        if kind.is_none() && name != ANY_KIND {
            let known = ARRAYS.iter().map(|(array, _)| *array).chain([ANY_KIND]);
            let sentence = format!("there is no such table{}", suggestion(name, known));
            problems.push(source.problem(span, &format!("`{name}`"), sentence));
            continue;
        }
        let Some(tables) = item.as_array_of_tables() else {
            problems.push(source.problem(
                span,
                &format!("`{name}`"),
                format!("expected an array of tables: write `[[{name}]]`"),
            ));
            continue;
        };
        for table in tables {
            match read(&source, kind, table) {
                Ok(connector) => connectors.push(connector),
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
    }
    let mut seen = BTreeSet::new();
    for connector in &connectors {
        if !seen.insert(&connector.id) {
            problems.push(connector.problem("name", "there is another connector of this kind and name"));
        }
    }
    if problems.is_empty() { Ok(connectors) } else { Err(problems) }
}

fn read(source: &Source, kind: Option<&str>, table: &Table) -> Result<ConnectorConfig, Vec<Problem>> {
    let line = table.span().map(|span| source.line(span.start));
    let place = |name: &str| table.key(name).and_then(toml_edit::Key::span).map(|span| source.line(span.start));
    let lines = table.iter().filter_map(|(name, _)| Some((name.to_owned(), place(name)?))).collect();
    let rest = json::object(table.iter());
    let id = ConnectorId { kind: kind.unwrap_or_default().to_owned(), name: String::new() };
    let mut config = ConnectorConfig { id, host: HostFields::default(), rest, file: source.file.clone(), line, lines };
    let mut problems = Vec::new();
    read_identity(&mut config, kind, &mut problems);
    config.host = HostFields {
        fixed_session_id: take(&mut config, "fixed_session_id", &mut problems),
        allow_unauthenticated_ingress: take(&mut config, "allow_unauthenticated_ingress", &mut problems)
            .unwrap_or_default(),
        ingress_events_per_second: take(&mut config, "ingress_events_per_second", &mut problems),
        default_reply_targets: take(&mut config, "default_reply_targets", &mut problems).unwrap_or_default(),
        session_policy: take(&mut config, "session_policy", &mut problems).unwrap_or_default(),
    };
    if config.host.ingress_events_per_second == Some(0) {
        problems.push(config.problem("ingress_events_per_second", "expected a number above 0"));
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// The name first, so that every other problem can say whose it is.
fn read_identity(config: &mut ConnectorConfig, kind: Option<&str>, problems: &mut Vec<Problem>) {
    if let Some(name) = take::<String>(config, "name", problems) {
        config.id.name = name;
        if !ConnectorId::name_is_valid(&config.id.name) {
            problems.push(
                config.problem("name", "expected 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, not starting with a dot"),
            );
        }
    } else if problems.is_empty() {
        problems.push(config.problem("name", "missing: every connector has a name, which is part of its route"));
    }
    if kind.is_none() {
        match take::<String>(config, "kind", problems) {
            Some(kind) => config.id.kind = kind,
            None => problems.push(config.problem("kind", "missing: `[[connectors]]` says which kind it is")),
        }
    }
}

/// Takes one of the host's fields out of what was written.
fn take<T: DeserializeOwned>(config: &mut ConnectorConfig, field: &str, problems: &mut Vec<Problem>) -> Option<T> {
    let value = config.rest.remove(field)?;
    match serde_json::from_value(value) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(config.problem(field, error.to_string()));
            None
        }
    }
}
