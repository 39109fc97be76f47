//! Who can perform runs, by name.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Ways to perform runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// The daemon answers with the run's own text; for trying things out.
    Echo,
    /// Programs elsewhere claim runs over HTTP.
    Claim,
    /// A model answers.
    Openai,
    /// The run is sent to a URL.
    Push,
}

/// Executors that need no section.
const BUILT_IN: [(&str, ExecutorKind); 2] = [("claim", ExecutorKind::Claim), ("echo", ExecutorKind::Echo)];

/// The executors of a daemon, and which of them is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    default: String,
    kinds: BTreeMap<String, ExecutorKind>,
}

impl Roster {
    /// The built-in executors and the configured ones. The error is a sentence for each thing to mend.
    pub fn new(
        default: &str,
        configured: impl IntoIterator<Item = (String, ExecutorKind)>,
    ) -> Result<Self, Vec<String>> {
        let mut kinds: BTreeMap<String, ExecutorKind> =
            BUILT_IN.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let mut wrong = Vec::new();
        for (name, kind) in configured {
            if !is_name(&name) {
                wrong.push(format!(
                    "executors.{name}: expected a name of 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter or a digit"
                ));
            } else if BUILT_IN.iter().any(|(built_in, its)| *built_in == name && *its != kind) {
                wrong.push(format!(
                    "executors.{name}: `{name}` is built in; give an executor of another type another name"
                ));
            }
            kinds.insert(name, kind);
        }
        let roster = Self { default: default.to_owned(), kinds };
        if let Err(sentence) = roster.check(default) {
            wrong.push(format!("executor: {sentence}, or make a section [executors.{default}]"));
        }
        if wrong.is_empty() { Ok(roster) } else { Err(wrong) }
    }

    /// The name of the executor of sessions that name none.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// What an executor is.
    pub fn kind(&self, name: &str) -> Option<ExecutorKind> {
        self.kinds.get(name).copied()
    }

    /// Every executor, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, ExecutorKind)> {
        self.kinds.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// Whether there is such an executor. The error says which there are.
    pub fn check(&self, name: &str) -> Result<(), String> {
        if self.kinds.contains_key(name) {
            return Ok(());
        }
        let names: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
        Err(format!("there is no executor `{name}`; there are {}", names.join(", ")))
    }

    /// What sessions that an executor serves have as executor: its name, and for the default one also none.
    pub fn served_by(&self, name: &str) -> Vec<String> {
        let unnamed = (name == self.default).then(String::new);
        unnamed.into_iter().chain([name.to_owned()]).collect()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with(['_', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(pairs: &[(&str, ExecutorKind)]) -> Vec<(String, ExecutorKind)> {
        pairs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    #[test]
    fn only_the_default_serves_sessions_that_name_none() {
        let roster = Roster::new("echo", configured(&[("gpu", ExecutorKind::Claim)])).unwrap();
        assert_eq!(roster.served_by("echo"), ["", "echo"]);
        assert_eq!(roster.served_by("gpu"), ["gpu"]);
        assert_eq!(roster.kind("claim"), Some(ExecutorKind::Claim));
        let refused = roster.check("cpu").unwrap_err();
        assert_eq!(refused, "there is no executor `cpu`; there are claim, echo, gpu");
    }

    #[test]
    fn names_and_defaults_are_checked() {
        let wrong = Roster::new("magic", configured(&[("a.b", ExecutorKind::Push), ("echo", ExecutorKind::Push)]));
        let wrong = wrong.unwrap_err();
        for part in ["executors.a.b: expected", "executors.echo: `echo` is built in", "there is no executor `magic`"] {
            assert!(wrong.iter().any(|sentence| sentence.contains(part)), "{part}: {wrong:?}");
        }
        assert!(Roster::new("claim", configured(&[("echo", ExecutorKind::Echo)])).is_ok());
    }
}
