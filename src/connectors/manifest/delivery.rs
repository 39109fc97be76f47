//! What a kind says about its way out: how long a part may be, how fast parts may go, and what follows when nobody knows
//! whether one arrived.

use serde::{Deserialize, Serialize};

use super::pace::PaceRule;
use crate::model::delivery::UnknownPolicy;

/// How outputs are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverySpec {
    /// The most of `unit` in one text; texts that have more are cut into parts. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What `limit` counts.
    #[serde(default)]
    pub unit: LengthUnit,
    /// The most of `unit` in a text that goes along with a file: the first file of an output takes the beginning of its text.
    /// Files go by themselves when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<usize>,
    /// Whether a call takes an output whole: all of its text, and its files beside it.
    #[serde(default)]
    pub whole: bool,
    /// What follows when nobody knows whether a part arrived.
    #[serde(default)]
    pub unknown: UnknownPolicy,
    /// Secret slots and lists of secrets, one of which is filled where events are answered along their own routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How fast parts may go, the narrowest rule first; each waits until all rules let it through. Not at all paced when
    /// empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pace: Vec<PaceRule>,
}

/// What the length of a text is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Bytes of UTF-8.
    Bytes,
    /// Code units of UTF-16.
    Utf16,
    /// Unicode scalar values.
    #[default]
    Scalars,
}
