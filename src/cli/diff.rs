//! What would become of a document, or has become of it, line by line.

use anstyle::Style;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::output::{BAD, FAINT, GOOD, INFO, STRONG, styled};

/// Members of a connector's view that say how it fares rather than what it is.
pub(crate) const OBSERVED: [&str; 8] =
    ["status", "revision", "changed", "created", "created_at_ms", "updated_at_ms", "created_ms", "updated_ms"];

/// A view without what is observed: what an operator has written, with secrets as their sources only.
pub(crate) fn written(view: &Value) -> Value {
    let members = view.as_object().into_iter().flatten().filter(|(name, _)| !OBSERVED.contains(&name.as_str()));
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// The lines that differ, with three lines around them, plain. Empty when nothing does.
pub(crate) fn between(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let [before, after] = [before, after].map(|side| side.map(lines).unwrap_or_default());
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        lines.push(hunk.header().to_string());
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            lines.push(format!("{sign}{}", change.value().trim_end_matches('\n')));
        }
    }
    lines
}

/// The same in colours, under the names of both sides.
pub(crate) fn painted(names: (&str, &str), lines: &[String]) -> Vec<String> {
    let heads = [("---", names.0), ("+++", names.1)].map(|(sign, name)| styled(STRONG, format!("{sign} {name}")));
    heads.into_iter().chain(lines.iter().map(|line| styled(style(line), line))).collect()
}

fn style(line: &str) -> Style {
    match line.as_bytes().first() {
        Some(b'+') => GOOD,
        Some(b'-') => BAD,
        Some(b'@') => INFO,
        _ => FAINT,
    }
}

fn lines(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(&sorted(value)).unwrap_or_default();
    text.push('\n');
    text
}

/// The same with its members in the order of their names, at every depth.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().map(|(name, inner)| (name.clone(), sorted(inner))).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_observed_is_no_difference() {
        let before = json!({ "name": "a", "revision": 1, "status": { "state": "running" } });
        let after = json!({ "name": "a", "revision": 2, "status": { "state": "failed" }, "changed": true });
        assert_eq!(written(&before), written(&after));
        assert!(between(Some(&written(&before)), Some(&written(&after))).is_empty());
    }

    #[test]
    fn a_changed_line_shows_with_its_neighbours() {
        let before = json!({ "actor_id": "shop", "name": "orders", "rate": 60 });
        let after = json!({ "actor_id": "shop", "name": "orders", "rate": 90 });
        let expected = [
            "@@ -1,5 +1,5 @@",
            " {",
            "   \"actor_id\": \"shop\",",
            "   \"name\": \"orders\",",
            "-  \"rate\": 60",
            "+  \"rate\": 90",
            " }",
        ];
        assert_eq!(between(Some(&before), Some(&after)), expected);
        let made = between(None, Some(&after));
        assert!(made[1..].iter().all(|line| line.starts_with('+')), "{made:?}");
        assert!(between(Some(&after), None)[1..].iter().all(|line| line.starts_with('-')));
    }
}
