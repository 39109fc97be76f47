//! Files that people write, and what is wrong in them: file, line, field, and what was expected.

use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// One thing to mend in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, with what it belongs to.
    pub field: String,
    /// What is wrong and what was expected.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.sentence)
    }
}

/// A file's text, for turning positions into lines.
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let text = fs::read_to_string(path).map_err(|error| Problem {
            file: path.to_owned(),
            line: None,
            field: String::new(),
            sentence: format!("cannot be read: {error}"),
        })?;
        Ok(Self { file: path.to_owned(), text })
    }

    /// The line, from 1, that a position is on.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
    }

    pub(crate) fn problem(&self, span: Option<Range<usize>>, field: &str, sentence: impl Into<String>) -> Problem {
        let line = span.map(|span| self.line(span.start));
        Problem { file: self.file.clone(), line, field: field.to_owned(), sentence: sentence.into() }
    }

    /// A parser's error: the field is what stands before the `=` of that line.
    fn parse_problem(&self, span: Option<Range<usize>>, message: &str) -> Problem {
        let line = span.as_ref().and_then(|span| self.text.lines().nth(self.line(span.start) - 1));
        let field = line.and_then(|line| line.split_once('=')).map_or("", |(field, _)| field.trim());
        let field = if field.is_empty() { String::new() } else { format!("`{field}`") };
        self.problem(span, &field, message.trim().replace('\n', ", "))
    }

    /// The document, with positions.
    pub(crate) fn document(&self) -> Result<toml_edit::Document<&str>, Problem> {
        toml_edit::Document::parse(self.text.as_str())
            .map_err(|error| self.parse_problem(error.span(), error.message()))
    }
}

/// Reads a TOML file into `T`. Types of settings refuse unknown keys, so a typing error does not pass as a default.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Problem> {
    let source = Source::read(path)?;
    toml_edit::de::from_str(&source.text).map_err(|error| source.parse_problem(error.span(), error.message()))
}
