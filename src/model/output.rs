//! Outputs: what an executor said.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::artifact::ArtifactReference;

/// One thing that an executor said, stored before anything is delivered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The text.
    pub content: String,
    /// Files that go out with it, 32 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub artifacts: Vec<ArtifactReference>,
}

impl From<String> for Output {
    fn from(content: String) -> Self {
        Self { content, artifacts: Vec::new() }
    }
}
