//! How a command ends when it does not end well: what is told, and the exit code.

use std::{io, process::ExitCode};

use serde_json::Value;

use super::output::printable;

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes of commands that talk to a daemon:
  0  done
  1  failed
  2  usage or configuration
  3  there is no such thing (404)
  4  the daemon refused it (any other 4xx)
  5  the daemon cannot be reached
  6  a check found something: doctor, connectors test, connectors apply --check";

/// The daemon's own words, from its problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) detail: String,
    pub(crate) code: String,
    /// Pointer and detail of each thing to mend.
    pub(crate) errors: Vec<(String, String)>,
}

impl Refusal {
    /// Reads a problem document; of anything else only the status is told.
    pub(crate) fn read(status: u16, document: &Value) -> Self {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let detail = match text(document, "detail") {
            detail if detail.is_empty() => format!("the answer is {status}, without a word about why"),
            detail => detail,
        };
        let errors = document["errors"].as_array().into_iter().flatten();
        let errors = errors.map(|error| (text(error, "pointer"), text(error, "detail"))).collect();
        Self { status, detail, code: text(document, "code"), errors }
    }

    fn exit_code(&self) -> u8 {
        match self.status {
            404 => 3,
            400..500 => 4,
            _ => 1,
        }
    }

    /// One line for each thing to mend, or for all of it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![printable(&self.detail)];
        for (pointer, detail) in &self.errors {
            lines.push(format!("  {}: {}", printable(pointer), printable(detail)));
        }
        if !self.code.is_empty() {
            lines.push(format!("  code: {}", printable(&self.code)));
        }
        lines
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    Failed(String),
    /// What was asked for cannot be done as it stands.
    Usage(String),
    /// The daemon said no.
    Refused(Refusal),
    /// Nobody answers.
    Unreachable(String),
    /// A check found something, and has said what.
    Found,
    /// It failed like this, and has said how.
    Told(u8),
    /// Standard output takes no more.
    Output(io::Error),
}

impl Failure {
    /// The exit code (see [`EXIT_CODES`]).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Unreachable(_) => 5,
            Self::Found => 6,
            Self::Told(code) => *code,
            // Whoever reads has seen enough: `| head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// Whether the same request may succeed later: nobody answers, or the daemon is busy.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => matches!(refusal.status, 429 | 500..),
            _ => false,
        }
    }

    /// What is told on standard error, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) => vec![text.clone()],
            Self::Refused(refusal) => refusal.lines(),
            Self::Output(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                vec![format!("standard output cannot be written: {error}")]
            }
            Self::Found | Self::Told(_) | Self::Output(_) => Vec::new(),
        }
    }

    /// Tells it and ends.
    pub(crate) fn end(&self) -> ExitCode {
        for (index, line) in self.lines().iter().enumerate() {
            let prefix = if index == 0 { "kheishd: " } else { "" };
            eprintln!("{prefix}{line}");
        }
        ExitCode::from(self.exit_code())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_become_exit_codes() {
        let code = |status| Failure::Refused(Refusal::read(status, &Value::Null)).exit_code();
        assert_eq!([400, 401, 404, 409, 412, 429, 500, 503].map(code), [4, 4, 3, 4, 4, 4, 1, 1]);
        let pipe = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((pipe.exit_code(), pipe.lines().len()), (0, 0));
    }

    #[test]
    fn a_problem_document_is_told_whole() {
        let document = json!({ "detail": "two fields are wrong", "code": "invalid_connector", "errors": [
            { "pointer": "/a", "detail": "expected text" }, { "pointer": "/b", "detail": "un\u{1b}[31mknown" } ] });
        let lines = Refusal::read(400, &document).lines();
        assert_eq!(
            lines,
            ["two fields are wrong", "  /a: expected text", "  /b: un\\u{1b}[31mknown", "  code: invalid_connector"]
        );
    }
}
