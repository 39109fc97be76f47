//! Outputs: what an executor said.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that an executor said, stored before anything is delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The text.
    pub content: String,
}
