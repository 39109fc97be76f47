//! One connector as its operator wrote it, and what is wrong with it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::host_fields;
use crate::{config::located::Problem, delivery::targets, model::ids::ConnectorId};

/// Where a connector comes from (contract section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectorSource)]
pub enum Source {
    /// The connectors file: changed by changing the file.
    File,
    /// The API; kept in the store.
    Daemon,
}

/// One connector as it was written. Never shown as it is: a connectors file may hold secrets.
pub struct Definition {
    /// Kind and name.
    pub id: ConnectorId,
    /// Where it comes from.
    pub source: Source,
    /// Grows with each change.
    pub revision: i64,
    /// Everything else: the host's own fields, the kind's settings, and secrets in one of their spellings.
    pub fields: Map<String, Value>,
    /// Where it stands, for connectors of a file.
    pub place: Option<Place>,
}

/// Where a connector stands in its file.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) file: PathBuf,
    pub(super) line: Option<usize>,
    /// Lines of fields.
    pub(super) lines: BTreeMap<String, usize>,
}

/// A rule that a connector breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// JSON pointer (RFC 6901) to the field; empty for the connector as a whole.
    pub pointer: String,
    /// What is wrong and what was expected.
    pub detail: String,
    /// Whether what is wrong is that there is no such secret.
    pub missing_secret: bool,
}

impl Broken {
    /// A rule about what a JSON pointer leads to.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), missing_secret: false }
    }

    /// A rule about the connector as a whole.
    pub fn whole(detail: impl Into<String>) -> Self {
        Self::at("", detail)
    }

    /// A rule about one field.
    pub fn field(name: &str, detail: impl Into<String>) -> Self {
        Self::at(format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail)
    }

    /// The field that it is about, if any.
    fn name(&self) -> &str {
        self.pointer.trim_start_matches('/').split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => f.write_str(&self.detail),
            name => write!(f, "`{name}`: {}", self.detail),
        }
    }
}

impl Definition {
    /// The JSON pointer of the first reply target that leads to this connector.
    pub fn refers_to(&self, id: &ConnectorId) -> Option<String> {
        let mut found = host_fields::reply_targets(&self.fields).into_iter();
        found.find(|(_, target)| targets::refers_to(target).as_ref() == Some(id)).map(|(pointer, _)| pointer)
    }

    /// Whether a reply target leads to a connector of this kind.
    pub fn sends_to_kind(&self, kind: &str) -> bool {
        let found = host_fields::reply_targets(&self.fields);
        found.iter().any(|(_, target)| targets::refers_to(target).is_some_and(|id| id.kind == kind))
    }

    /// A broken rule with where it was broken, for people: file and line, or kind and name.
    pub fn problem(&self, broken: &Broken) -> String {
        match &self.place {
            Some(place) => place.problem(&self.id, broken).to_string(),
            None => format!("{}: {broken}", self.id),
        }
    }
}

impl Place {
    pub(super) fn problem(&self, id: &ConnectorId, broken: &Broken) -> Problem {
        let name = broken.name();
        Problem {
            file: self.file.clone(),
            line: self.lines.get(name).copied().or(self.line),
            field: if name.is_empty() { id.to_string() } else { format!("{id}: `{name}`") },
            sentence: broken.detail.clone(),
        }
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// What a file gave inline does not stay in memory that was given back.
impl Drop for Definition {
    fn drop(&mut self) {
        self.fields.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(object) => object.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
