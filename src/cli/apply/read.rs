//! A connectors file as JSON objects, one a connector, with the lines that they stand on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml_edit::{ArrayOfTables, Document};

use crate::registry::file::toml_as_json;

/// Arrays of tables whose name says the kind; the tables of the last one say it themselves.
const ARRAYS: [(&str, Option<&str>); 5] = [
    ("http_connectors", Some("http")),
    ("slack_connectors", Some("slack")),
    ("telegram_connectors", Some("telegram")),
    ("external_connectors", Some("external")),
    ("connectors", None),
];

/// One connector as the file has it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) kind: String,
    pub(super) name: String,
    /// Everything but kind and name.
    pub(super) fields: Map<String, Value>,
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl Written {
    /// The line of a field, or of the whole where the field is not known.
    pub(super) fn line_of(&self, field: &str) -> usize {
        self.lines.get(field).copied().unwrap_or(self.line)
    }

    /// Kind and name.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// A line and what is wrong there.
pub(super) type Mistake = (usize, String);

/// Reads the file's text, or says everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Written>, Vec<Mistake>> {
    let place = |offset: usize| text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| place(span.start));
        vec![(line, error.message().trim().replace('\n', ", "))]
    })?;
    let (mut connectors, mut mistakes) = (Vec::<Written>::new(), Vec::new());
    for (name, item) in document.as_table() {
        let line = document.as_table().key(name).and_then(toml_edit::Key::span).map_or(1, |span| place(span.start));
        let Some((_, kind)) = ARRAYS.iter().find(|(array, _)| *array == name) else {
            let known: Vec<String> = ARRAYS.iter().map(|(array, _)| format!("[[{array}]]")).collect();
            mistakes.push((line, format!("`{name}`: there is no such table; there are {}", known.join(", "))));
            continue;
        };
        let Some(tables) = item.as_array_of_tables() else {
            mistakes.push((line, format!("`{name}`: expected tables that begin with [[{name}]]")));
            continue;
        };
        read_tables(tables, *kind, &place, (&mut connectors, &mut mistakes));
    }
    for (index, one) in connectors.iter().enumerate() {
        if let Some(first) = connectors[..index].iter().find(|other| other.id() == one.id()) {
            mistakes.push((one.line, format!("{} stands in line {} already", one.id(), first.line)));
        }
    }
    mistakes.sort();
    if mistakes.is_empty() { Ok(connectors) } else { Err(mistakes) }
}

fn read_tables(
    tables: &ArrayOfTables,
    kind: Option<&str>,
    place: &impl Fn(usize) -> usize,
    (connectors, mistakes): (&mut Vec<Written>, &mut Vec<Mistake>),
) {
    for table in tables {
        let line = table.span().map_or(1, |span| place(span.start));
        let lines = table.iter().filter_map(|(name, _)| {
            let span = table.key(name).and_then(toml_edit::Key::span)?;
            Some((name.to_owned(), place(span.start)))
        });
        let lines: BTreeMap<String, usize> = lines.collect();
        let mut fields = toml_as_json(table.iter());
        let mut take = |field: &str| match fields.remove(field) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            Some(_) => {
                mistakes.push((lines.get(field).copied().unwrap_or(line), format!("`{field}`: expected text")));
                None
            }
            None => {
                mistakes.push((line, format!("`{field}`: missing")));
                None
            }
        };
        let (name, kind) = (take("name"), kind.map_or_else(|| take("kind"), |kind| Some(kind.to_owned())));
        if let (Some(name), Some(kind)) = (name, kind) {
            connectors.push(Written { kind, name, fields, line, lines });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_array_is_read_with_its_lines() {
        let text = "# mine\n[[http_connectors]]\nname = \"orders\"\nhmac_secret = \"x\"\n\
                    session_policy = { create_if_missing = true }\n\n[[connectors]]\nkind = \"github\"\nname = \"code\"\n";
        let read = read(text).unwrap();
        assert_eq!(read.iter().map(Written::id).collect::<Vec<_>>(), ["http/orders", "github/code"]);
        let expected = json!({ "hmac_secret": "x", "session_policy": { "create_if_missing": true } });
        assert_eq!(Value::from(read[0].fields.clone()), expected);
        assert_eq!([read[0].line_of("hmac_secret"), read[0].line_of("none"), read[1].line_of("")], [4, 2, 7]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "[[http_conectors]]\nname = \"a\"\n[[http_connectors]]\nname = 1\n[[connectors]]\nname = \"b\"\n\
                    [[http_connectors]]\nname = \"c\"\n[[connectors]]\nkind = \"http\"\nname = \"c\"\n";
        let lines: Vec<usize> = read(text).unwrap_err().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 4, 5, 9]);
        assert_eq!(read("[[a]\n").unwrap_err()[0].0, 1);
    }
}
