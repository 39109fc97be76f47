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
