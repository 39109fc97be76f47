//! The connectors file (contract section 2.1): an array of tables for each kind that the contract names, and
//! `[[connectors]]` with a `kind` for those of plugins.
//!
//! Reading it needs no plugin; [`super::resolve`] then judges a connector by its kind's manifest.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value};
use toml_edit::Table;

use super::{
    definition::{Broken, Definition, Place, Source},
    host_fields::HostFields,
};
use crate::{
    config::located::{self, Problem},
    model::ids::ConnectorId,
    nearest::suggestion,
};

mod json;

pub(crate) use json::object as toml_as_json;

/// Arrays of tables whose name says the kind.
const ARRAYS: [(&str, &str); 4] = [
    ("http_connectors", "http"),
    ("slack_connectors", "slack"),
    ("telegram_connectors", "telegram"),
    ("external_connectors", "external"),
];

/// The array whose tables say their kind.
const ANY_KIND: &str = "connectors";

/// Reads the file, or says everything that is wrong with it.
pub fn load(path: &Path) -> Result<Vec<Definition>, Vec<Problem>> {
    let source = located::Source::read(path).map_err(|problem| vec![problem])?;
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
    problems.append(&mut twice(&connectors));
    if problems.is_empty() { Ok(connectors) } else { Err(problems) }
}

fn twice(connectors: &[Definition]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let again = connectors.iter().filter(|connector| !seen.insert(&connector.id));
    let broken = Broken::field("name", "there is another connector of this kind and name");
    again.filter_map(|connector| Some(connector.place.as_ref()?.problem(&connector.id, &broken))).collect()
}

/// The name first, so that every other problem can say whose it is.
fn read(source: &located::Source, kind: Option<&str>, table: &Table) -> Result<Definition, Vec<Problem>> {
    let line_of = |name: &str| table.key(name).and_then(toml_edit::Key::span).map(|span| source.line(span.start));
    let place = Place {
        file: source.file.clone(),
        line: table.span().map(|span| source.line(span.start)),
        lines: table.iter().filter_map(|(name, _)| Some((name.to_owned(), line_of(name)?))).collect(),
    };
    let mut fields = json::object(table.iter());
    let mut id = ConnectorId { kind: kind.unwrap_or_default().to_owned(), name: String::new() };
    let mut broken = Vec::new();
    match text(&mut fields, "name") {
        Ok(Some(name)) => {
            id.name = name;
            if !ConnectorId::name_is_valid(&id.name) {
                broken.push(Broken::field("name", super::NAME_RULE));
            }
        }
        Ok(None) => {
            broken.push(Broken::field("name", "missing: every connector has a name, which is part of its route"));
        }
        Err(wrong) => broken.push(wrong),
    }
    if kind.is_none() {
        match text(&mut fields, "kind") {
            Ok(Some(kind)) => id.kind = kind,
            Ok(None) => broken.push(Broken::field("kind", "missing: `[[connectors]]` says which kind it is")),
            Err(wrong) => broken.push(wrong),
        }
    }
    // What needs no plugin to be judged is judged here, so that a file's mistakes are told together.
    HostFields::take(&mut fields.clone(), &mut broken);
    if broken.is_empty() {
        return Ok(Definition { id, source: Source::File, revision: 1, fields, place: Some(place) });
    }
    Err(broken.iter().map(|broken| place.problem(&id, broken)).collect())
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Broken> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Broken::field(name, "expected text in quotes")),
    }
}
