//! What is printed: tables and lines for people, the API's own documents for programs.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use bytes::Bytes;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use super::{failure::Failure, time};

/// Columns of a terminal that the last column of a table needs to be worth wrapping.
const LAST_COLUMN: u16 = 16;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The API's document, for programs.
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colors {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const CAREFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const INFO: Style = AnsiColor::Cyan.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    format: Format,
    choice: ColorChoice,
}

impl Out {
    pub(crate) fn new(format: Format, colors: Colors) -> Self {
        let choice = match colors {
            Colors::Auto => AutoStream::choice(&io::stdout()),
            Colors::Always => ColorChoice::AlwaysAnsi,
            Colors::Never => ColorChoice::Never,
        };
        Self { format, choice }
    }

    /// Whether a program reads along.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A line; styles in it are dropped where colours are not wanted.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut stream = AutoStream::new(io::stdout().lock(), self.choice);
        writeln!(stream, "{text}")?;
        Ok(stream.flush()?)
    }

    /// A document as the daemon sent it.
    pub(crate) fn document(&self, body: &Bytes) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(body)?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }

    /// A document of our own, on one line.
    pub(crate) fn value(&self, value: &Value) -> Result<(), Failure> {
        self.document(&Bytes::from(value.to_string()))
    }

    /// A table, or a sentence in place of an empty one.
    pub(crate) fn table(&self, mut table: Table, empty: &str) -> Result<(), Failure> {
        if table.is_empty() {
            return self.line(styled(FAINT, empty));
        }
        if io::stdout().is_terminal() {
            fit(&mut table);
        }
        // The library leaves colours out by itself where `NO_COLOR` is set, but not all of their marks.
        if self.choice != ColorChoice::Never && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        self.line(table.trim_fmt())
    }

    /// An object, a field a line; what is nested stands under its dotted name.
    pub(crate) fn fields(&self, object: &Value) -> Result<(), Failure> {
        let mut rows = Vec::new();
        flatten("", object, &mut rows);
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in rows {
            self.line(format_args!("{FAINT}{name:<width$}{FAINT:#}  {value}"))?;
        }
        Ok(())
    }
}

/// A note for people, beside the result.
pub(crate) fn note(text: impl Display) {
    // A closed standard error is no reason to fail.
    writeln!(anstream::stderr(), "{text}").ok();
}

/// Text in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A state in the colour that says how good it is.
pub(crate) fn state(text: &str) -> String {
    styled(mood(text), printable(text))
}

/// How good a state is.
pub(crate) fn mood(state: &str) -> Style {
    match state {
        "running" | "completed" | "delivered" | "serving" | "ready" | "accepted" | "started" => GOOD,
        "failed" | "dead_lettered" | "cancelled" | "refused" | "conflict" | "deaf" => BAD,
        "paused" | "queued" | "pending" | "retrying" | "sending" | "unknown" | "outdated" | "draining" | "requeued"
        | "limited" | "starting" | "degraded" => CAREFUL,
        _ => Style::new(),
    }
}

/// A table with this header, without lines.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().map(Cell::new));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Wraps the last column, which holds the sentences, within the terminal. The others stay in one piece, so that ids can be
/// copied; where they leave no room the terminal wraps whole lines.
fn fit(table: &mut Table) {
    let Some(width) = table.width() else { return };
    let widths = table.column_max_content_widths();
    let Some((_, others)) = widths.split_last() else { return };
    let taken = others.iter().fold(0_u16, |sum, width| sum.saturating_add(width.saturating_add(2)));
    if taken.saturating_add(LAST_COLUMN) > width {
        return;
    }
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for index in 0..others.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// A cell of text that came from elsewhere.
pub(crate) fn cell(text: &str) -> Cell {
    Cell::new(printable(text))
}

/// A cell with a state.
pub(crate) fn state_cell(text: &str) -> Cell {
    let color = match mood(text) {
        GOOD => Color::Green,
        BAD => Color::Red,
        CAREFUL => Color::Yellow,
        _ => return cell(text),
    };
    cell(text).fg(color)
}

/// A cell with a moment, from milliseconds since 1970.
pub(crate) fn time_cell(value: &Value) -> Cell {
    Cell::new(value.as_i64().map(time::stamp).unwrap_or_default())
}

/// Text from elsewhere with its control characters made visible: a terminal must not obey them.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            safe.extend(letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// A text in the JSON, by pointer; empty when it is missing.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The members of a list in the JSON, by pointer; none when it is missing.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value in a few words: text without quotes, moments as such, all else as JSON.
pub(crate) fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        Value::Number(number) if name.ends_with("_at_ms") || name == "since_ms" => {
            number.as_i64().map(time::precise).unwrap_or_else(|| number.to_string())
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(|item| plain("", item)).collect::<Vec<_>>().join(", ")
        }
        other => printable(&other.to_string()),
    }
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, inner) in object {
                let path = if name.is_empty() { printable(key) } else { format!("{name}.{}", printable(key)) };
                flatten(&path, inner, rows);
            }
        }
        other => rows.push((name.to_owned(), plain(name.rsplit('.').next().unwrap_or(name), other))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_gets_no_orders_from_elsewhere() {
        assert_eq!(printable("a\u{1b}]0;owned\u{7}\nb\u{9b}\u{202e}é"), "a\\u{1b}]0;owned\\u{7}\\nb\\u{9b}\\u{202e}é");
    }

    #[test]
    fn nested_fields_get_dotted_names() {
        let mut rows = Vec::new();
        flatten("", &json!({ "a": { "b": 1, "created_at_ms": 0 }, "c": ["x", "y"], "d": {}, "e": null }), &mut rows);
        let rows: Vec<String> = rows.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(rows, ["a.b=1", "a.created_at_ms=1970-01-01T00:00:00.000Z", "c=x, y", "d={}", "e="]);
    }
}
