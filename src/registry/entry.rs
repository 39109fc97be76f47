//! A connector as it stands: what is wanted, what runs, and what is wrong.

use std::sync::Arc;

use serde::Serialize;

use super::definition::{Broken, Definition};

/// One connector as it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What its operator wants.
    pub definition: Arc<Definition>,
    /// What serves, if anything does.
    pub running: Option<Running>,
    /// Why what is wanted is not what serves.
    pub last_error: Option<Failure>,
}

/// What serves requests of a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The revision of the definition that it was built from.
    pub revision: i64,
    /// The plugin's code.
    pub plugin_digest: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Why a definition could not be put in place.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was tried, in milliseconds since 1970.
    pub at_ms: i64,
    /// Every rule that stands against it.
    pub broken: Vec<Broken>,
}

/// A connector's state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectorState)]
pub enum State {
    /// What is wanted serves.
    Running,
    /// Something older serves; the last error says why.
    Outdated,
    /// Nothing serves.
    Failed,
}

impl Entry {
    /// The state in a word.
    pub fn state(&self) -> State {
        match (&self.running, &self.last_error) {
            (Some(_), None) => State::Running,
            (Some(_), Some(_)) => State::Outdated,
            (None, _) => State::Failed,
        }
    }
}
