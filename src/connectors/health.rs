//! How the other side of a connector fares, where its kind keeps an eye on it.

use serde::Serialize;

/// How the other side of a connector fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorHealth)]
pub struct Health {
    /// In a word.
    pub state: HealthState,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When it last answered, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub answered_at_ms: Option<i64>,
    /// Looks in a row that got no answer.
    pub failures: u32,
    /// What it calls this life of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance_id: Option<String>,
    /// The program, where the daemon starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub process: Option<Process>,
}

/// Why nothing can be sent through a connector now, though it could be later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Stable.
    pub code: &'static str,
    /// For people.
    pub reason: String,
    /// When to ask again where nobody says before that it is over, in milliseconds from now.
    pub wait_ms: i64,
    /// Whether another daemon on the same store can send.
    pub elsewhere: bool,
}

/// A program that the daemon starts, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ConnectorProcess)]
pub struct Process {
    /// In a word.
    pub state: ProcessState,
    /// Its number at the system, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pid: Option<i32>,
    /// When it was last started, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub started_at_ms: Option<i64>,
    /// When it is started again, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_start_at_ms: Option<i64>,
    /// How often it was started again since the daemon or its settings began.
    pub restarts: u32,
    /// How it last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_end: Option<String>,
    /// What it may fetch credentials under, as the audit file names it; absent when that was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub grant_id: Option<String>,
}

/// A program that the daemon starts, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectorProcessState)]
pub enum ProcessState {
    /// It is not ready yet.
    #[default]
    Starting,
    /// It was ready.
    Running,
    /// It is asked to end.
    Ending,
    /// It has ended, and is started again soon.
    Waiting,
    /// Another daemon on the same store runs it.
    Elsewhere,
    /// It was started too often, and is not started again by itself.
    Stopped,
}

/// How the other side of a connector fares, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectorHealthState)]
pub enum HealthState {
    /// It has not answered yet, or says that it is on its way.
    Starting,
    /// It answers, and says that it is well.
    Ready,
    /// It answers, and something is wrong with it.
    Degraded,
    /// It does not answer.
    Deaf,
}

impl HealthState {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Deaf => "deaf",
        }
    }
}
