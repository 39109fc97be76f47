//! What a kind says about rates that its platform keeps.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most rules of one kind: each is looked up for each message.
const RULES: usize = 8;

/// The longest time that a burst may be made up in, in milliseconds: an hour. What waits is not to wait for ever.
const LONGEST_MS: u64 = 3_600_000;

/// How fast messages may go to one place, or through one connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaceRule {
    /// JSON pointer to a member of the normalised route: each value there has a rate of its own, and routes without it have
    /// none. The connector as a whole when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Only for values that begin so, a number as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting: Option<String>,
    /// So many messages…
    pub amount: u32,
    /// …in so many milliseconds, evenly.
    pub per_ms: u32,
    /// How many may go at once after a rest.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

impl PaceRule {
    /// What of a route has a rate of its own; none where the rule is not for this route.
    pub fn place(&self, route: &Value) -> Option<String> {
        let Some(pointer) = &self.by else { return Some(String::new()) };
        let place = match route.pointer(pointer)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        place.starts_with(self.starting.as_deref().unwrap_or_default()).then_some(place)
    }

    /// Microseconds from one message to the next, where the rate is so many percent of what the rule says; one at least.
    pub fn step_us(&self, percent: u32) -> i64 {
        let (per_us, amount) = (i64::from(self.per_ms) * 1_000, i64::from(self.amount.max(1)));
        (per_us * 100 / amount.saturating_mul(i64::from(percent.max(1)))).max(1)
    }
}

/// One sentence for each rule that is broken.
pub(super) fn broken_rules(rules: &[PaceRule]) -> Vec<String> {
    let mut broken = Vec::new();
    if rules.len() > RULES {
        broken.push(format!("delivery.pace has {} rules, the limit is {RULES}", rules.len()));
    }
    for (index, rule) in rules.iter().enumerate() {
        let mut complain = |sentence: String| broken.push(format!("delivery.pace[{index}]: {sentence}"));
        if let Some(by) = rule.by.as_ref().filter(|by| !is_pointer(by)) {
            complain(format!("by is `{by}`: expected a JSON pointer into the route, such as `/channel_id`"));
        }
        if rule.starting.is_some() && rule.by.is_none() {
            complain("starting says which values of `by` are meant, and there is no `by`".to_owned());
        }
        if [rule.amount, rule.per_ms, rule.burst].contains(&0) {
            complain("amount, per_ms and burst are above 0".to_owned());
        } else if u64::from(rule.per_ms) * u64::from(rule.burst) > LONGEST_MS * u64::from(rule.amount) {
            complain(format!(
                "{} in {} ms make up for a burst of {} in more than an hour: raise amount, or lower per_ms or burst",
                rule.amount, rule.per_ms, rule.burst
            ));
        }
    }
    broken
}

/// RFC 6901, of something within the route.
fn is_pointer(text: &str) -> bool {
    let escapes_are_right = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.len() > 1 && text.starts_with('/') && escapes_are_right
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(rule: Value) -> PaceRule {
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn a_rule_is_for_the_routes_that_it_names() {
        let chat = rule(json!({"by": "/chat_id", "amount": 1, "per_ms": 1000}));
        let group = rule(json!({"by": "/chat_id", "starting": "-", "amount": 20, "per_ms": 60000, "burst": 5}));
        let all = rule(json!({"amount": 30, "per_ms": 1000}));
        let places = |route: Value| [&chat, &group, &all].map(|rule| rule.place(&route));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(places(json!({"chat_id": 5})), [some("5"), None, some("")]);
        assert_eq!(places(json!({"chat_id": -5, "message_thread_id": 3})), [some("-5"), some("-5"), some("")]);
        assert_eq!(places(json!({"chat_id": "@name"})), [some("@name"), None, some("")]);
        assert_eq!(places(json!({"chat_id": null})), [None, None, some("")]);
        assert_eq!(places(json!({})), [None, None, some("")]);
        assert_eq!((chat.burst, group.burst), (1, 5));
    }

    #[test]
    fn steps_follow_the_rate_and_the_operator() {
        let bot = rule(json!({"amount": 30, "per_ms": 1000}));
        assert_eq!([50, 100, 1_000].map(|percent| bot.step_us(percent)), [66_666, 33_333, 3_333]);
        assert_eq!(rule(json!({"amount": u32::MAX, "per_ms": 1})).step_us(u32::MAX), 1);
    }

    #[test]
    fn rules_that_cannot_be_meant_are_told() {
        for (wrong, says) in [
            (json!({"by": "channel", "amount": 1, "per_ms": 1}), "JSON pointer"),
            (json!({"by": "/a~2", "amount": 1, "per_ms": 1}), "JSON pointer"),
            (json!({"starting": "-", "amount": 1, "per_ms": 1}), "there is no `by`"),
            (json!({"amount": 0, "per_ms": 1}), "above 0"),
            (json!({"amount": 1, "per_ms": 1, "burst": 0}), "above 0"),
            (json!({"amount": 1, "per_ms": 1_800_001, "burst": 2}), "more than an hour"),
        ] {
            let broken = broken_rules(&[rule(wrong.clone())]);
            assert!(broken.len() == 1 && broken[0].contains(says), "{wrong}: {broken:?}");
        }
        let fine = rule(json!({"by": "/a/b~1c", "starting": "-", "amount": 1, "per_ms": 3_600_000}));
        assert_eq!(broken_rules(&vec![fine.clone(); RULES]), [""; 0]);
        assert_eq!(broken_rules(&vec![fine; RULES + 1]).len(), 1);
    }
}
