//! Outputs: what an executor said.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::artifact::{ArtifactReference, MAX_ARTIFACTS};

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

impl Output {
    /// Whether its files are what they can be; whether they exist is for a transaction to say. The error names the member of
    /// the output and says what was expected.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.artifacts.len() > MAX_ARTIFACTS {
            return Err(("artifacts".to_owned(), format!("at most {MAX_ARTIFACTS}")));
        }
        for (at, artifact) in self.artifacts.iter().enumerate() {
            let wrong = |(field, expected): (&str, &str)| (format!("artifacts[{at}].{field}"), expected.to_owned());
            artifact.check().map_err(wrong)?;
        }
        Ok(())
    }
}

impl From<String> for Output {
    fn from(content: String) -> Self {
        Self { content, artifacts: Vec::new() }
    }
}
