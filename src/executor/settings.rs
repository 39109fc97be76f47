//! Sections of executors, `[executors.<name>]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{openai::settings::OpenAiSettings, push::settings::PushSettings};
use crate::model::roster::{ExecutorKind, Roster};

/// What is set of an executor, by its type.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecutorSettings {
    /// Programs elsewhere claim its runs.
    Claim(ClaimSettings),
    /// Says back what was said.
    Echo(EchoSettings),
    /// A chat-completions endpoint.
    Openai(OpenAiSettings),
    /// A URL that runs are sent to.
    Push(PushSettings),
}

/// Nothing can be set of it: its workers say how many runs they want, and for how long.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimSettings {}

/// How `echo` works.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoSettings {
    /// Runs at once; `queue.concurrent_runs` when absent.
    pub concurrent_runs: Option<usize>,
}

impl ExecutorSettings {
    /// Its type.
    pub fn kind(&self) -> ExecutorKind {
        match self {
            Self::Claim(_) => ExecutorKind::Claim,
            Self::Echo(_) => ExecutorKind::Echo,
            Self::Openai(_) => ExecutorKind::Openai,
            Self::Push(_) => ExecutorKind::Push,
        }
    }

    /// Runs at once, where that is set.
    pub fn concurrent_runs(&self) -> Option<usize> {
        match self {
            Self::Claim(_) => None,
            Self::Echo(echo) => echo.concurrent_runs,
            Self::Openai(openai) => openai.concurrent_runs,
            Self::Push(push) => push.concurrent_runs,
        }
    }
}

/// Who can perform runs with these sections. The error is a sentence for each thing to mend.
pub fn roster(default: &str, sections: &BTreeMap<String, ExecutorSettings>) -> Result<Roster, Vec<String>> {
    Roster::new(default, sections.iter().map(|(name, section)| (name.clone(), section.kind())))
}
