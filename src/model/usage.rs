//! What attempts at a run consumed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What all attempts at a run consumed so far, as far as their executor says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens that were read.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub input_tokens: u64,
    /// Tokens that were written.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub output_tokens: u64,
    /// Those of the read ones that came from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub cached_tokens: Option<u64>,
    /// Those of the written ones that were thought and not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub reasoning_tokens: Option<u64>,
    /// Requests that the attempts made, those that failed included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub requests: Option<u64>,
    /// What it cost, in the provider's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cost: Option<f64>,
    /// The model of the last attempt, as the provider names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model: Option<String>,
    /// Why the last attempt stopped writing, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finish_reason: Option<String>,
}

impl Usage {
    /// This and what a later attempt consumed.
    #[must_use]
    pub fn plus(self, later: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(later.input_tokens),
            output_tokens: self.output_tokens.saturating_add(later.output_tokens),
            cached_tokens: both(self.cached_tokens, later.cached_tokens, u64::saturating_add),
            reasoning_tokens: both(self.reasoning_tokens, later.reasoning_tokens, u64::saturating_add),
            requests: both(self.requests, later.requests, u64::saturating_add),
            cost: both(self.cost, later.cost, |one, other| one + other),
            model: later.model.clone().or(self.model),
            finish_reason: later.finish_reason.clone().or(self.finish_reason),
        }
    }
}

/// What is unknown on one side does not hide what is known on the other.
fn both<T>(one: Option<T>, other: Option<T>, sum: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(sum(one, other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up() {
        let first = Usage { input_tokens: 3, cached_tokens: Some(1), model: Some("a".to_owned()), ..Usage::default() };
        let second = Usage { input_tokens: 4, output_tokens: 2, cost: Some(0.5), ..Usage::default() };
        let all = first.plus(&second);
        assert_eq!((all.input_tokens, all.output_tokens, all.cached_tokens), (7, 2, Some(1)));
        assert_eq!((all.cost, all.model.as_deref()), (Some(0.5), Some("a")));
    }

    #[test]
    fn what_nobody_said_does_not_show() {
        let shown = serde_json::to_value(Usage::default()).unwrap();
        assert_eq!(shown, serde_json::json!({ "input_tokens": 0, "output_tokens": 0 }));
    }
}
