//! Lists of secrets: one for each of many places, told apart by a key (contract sections 2.4, 2.6 and 2.7). A list holds every
//! key once, and every entry says where its secret comes from.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    definition::Broken,
    secret_fields::{self, Written},
};
use crate::{connectors::manifest::SecretList, nearest::suggestion};

/// Longest key of an entry, in bytes.
const KEY_BYTES: usize = 64;

/// An entry of a list.
#[derive(Debug)]
pub(super) struct Entry {
    /// What tells it from the others.
    pub(super) key: String,
    /// Where its secret comes from.
    pub(super) written: Written,
}

/// The key of an entry, and its other members.
pub(super) type Keyed = (String, Map<String, Value>);

/// Takes a list out of a connector's fields, or says every rule that it breaks.
pub(super) fn take(fields: &mut Map<String, Value>, name: &str, list: &SecretList) -> Result<Vec<Entry>, Vec<Broken>> {
    let Some(value) = fields.remove(name) else { return Ok(Vec::new()) };
    let (mut taken, mut broken) = (Vec::new(), Vec::new());
    for (index, (key, mut entry)) in read(value, name, list)?.into_iter().enumerate() {
        let within = format!("/{name}/{index}");
        match secret_fields::take(&mut entry, &within, &list.secret) {
            Ok(Some(written)) => taken.push(Entry { key, written }),
            Ok(None) => broken.push(without_secret(&format!("{within}/{}", list.secret), &key)),
            Err(wrong) => broken.push(wrong),
        }
        broken.extend(unknown(&entry, &within, list, &list.spellings()));
    }
    if broken.is_empty() { Ok(taken) } else { Err(broken) }
}

/// The entries of a list with their keys, in its order.
pub(super) fn read(value: Value, name: &str, list: &SecretList) -> Result<Vec<Keyed>, Vec<Broken>> {
    let Value::Array(values) = value else {
        return Err(vec![Broken::field(name, format!("expected a list of entries, each with {}", parts(list)))]);
    };
    let (mut entries, mut broken, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, value) in values.into_iter().enumerate() {
        let Value::Object(mut entry) = value else {
            broken.push(Broken::at(format!("/{name}/{index}"), format!("expected an entry with {}", parts(list))));
            continue;
        };
        let wrong = |detail: String| Broken::at(format!("/{name}/{index}/{}", list.key), detail);
        match entry.remove(&list.key) {
            Some(Value::String(key)) if !is_key(&key) => {
                broken.push(wrong(format!("expected 1 to {KEY_BYTES} of a-z, A-Z, 0-9, `_` and `-`")));
            }
            Some(Value::String(key)) if !seen.insert(key.clone()) => {
                broken.push(wrong(format!("`{key}` has an entry already: leave one of them out")));
            }
            Some(Value::String(key)) => entries.push((key, entry)),
            Some(_) => broken.push(wrong("expected text in quotes".to_owned())),
            None => broken.push(wrong(format!("missing: every entry has {}", parts(list)))),
        }
    }
    if broken.is_empty() { Ok(entries) } else { Err(broken) }
}

/// The rule that an entry without a secret breaks.
pub(super) fn without_secret(pointer: &str, key: &str) -> Broken {
    let detail = format!("`{key}` has no secret: say where it comes from, or leave the whole entry out");
    Broken::at(pointer, detail)
}

/// The rules that what is left of an entry breaks. `spellings` are the members that a secret may come in.
pub(super) fn unknown(
    entry: &Map<String, Value>,
    within: &str,
    list: &SecretList,
    spellings: &[String],
) -> Vec<Broken> {
    let known = || spellings.iter().map(String::as_str).chain([list.key.as_str()]);
    let wrong = |name: &String| {
        let pointer = format!("{within}/{}", name.replace('~', "~0").replace('/', "~1"));
        Broken::at(pointer, format!("an entry has no such member{}", suggestion(name, known())))
    };
    entry.keys().map(wrong).collect()
}

/// The keys alone, as a plugin sees a list.
pub(super) fn keys(entries: &[Entry], list: &SecretList) -> Value {
    entries.iter().map(|entry| json!({ list.key.as_str(): entry.key })).collect()
}

/// How a list shows to operators (contract section 2.7): never the values.
pub(super) fn redacted(entries: &[Entry], list: &SecretList) -> Value {
    let shown = |entry: &Entry| {
        let secret = secret_fields::redacted(Some(&entry.written));
        json!({ list.key.as_str(): entry.key, list.secret.as_str(): secret })
    };
    entries.iter().map(shown).collect()
}

/// What is wrong with the name of a connector: secrets of another one's entries are stored under names that begin with it.
pub(super) fn check_name<'n>(name: &str, mut lists: impl Iterator<Item = &'n String>) -> Option<Broken> {
    let list = lists.find(|list| name.contains(&format!(".{list}.")))?;
    Some(Broken::field("name", format!("`.{list}.` stands for the list of that name: leave it out of the name")))
}

fn parts(list: &SecretList) -> String {
    format!("`{}` and `{}`", list.key, list.secret)
}

/// Keys are parts of slots' names, so they have no dots.
fn is_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=KEY_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> SecretList {
        serde_json::from_value(json!({ "description": "d", "key": "team_id", "secret": "bot_token" })).unwrap()
    }

    fn taken(value: Value) -> Result<Vec<Entry>, Vec<Broken>> {
        let mut fields = Map::from_iter([("tokens".to_owned(), value)]);
        let taken = take(&mut fields, "tokens", &list());
        assert!(fields.is_empty(), "nothing of it is left");
        taken
    }

    fn pointers(value: Value) -> Vec<String> {
        taken(value).unwrap_err().into_iter().map(|broken| broken.pointer).collect()
    }

    #[test]
    fn each_spelling_is_taken_and_none_shows_its_value() {
        let entries = taken(json!([
            { "team_id": "T1", "bot_token": "xoxb-one" },
            { "team_id": "T2", "bot_token_env": "TWO" },
            { "team_id": "T3", "bot_token_secret_ref": "three" },
            { "team_id": "T4", "bot_token": { "secret_ref": "four" } },
        ]))
        .unwrap();
        let shown = json!([
            { "team_id": "T1", "bot_token": { "configured": true, "source": "inline" } },
            { "team_id": "T2", "bot_token": { "configured": true, "source": "env", "env": "TWO" } },
            { "team_id": "T3", "bot_token": { "configured": true, "source": "secret_ref", "secret_ref": "three" } },
            { "team_id": "T4", "bot_token": { "configured": true, "source": "secret_ref", "secret_ref": "four" } },
        ]);
        assert_eq!(redacted(&entries, &list()), shown);
        assert_eq!(entries[1].written.pointer, "/tokens/1/bot_token_env");
        assert_eq!(keys(&entries[..2], &list()), json!([{ "team_id": "T1" }, { "team_id": "T2" }]));
        assert!(taken(json!([])).unwrap().is_empty());
    }

    #[test]
    fn every_broken_rule_has_its_place() {
        assert_eq!(pointers(json!({ "T1": "xoxb" })), ["/tokens"]);
        assert_eq!(
            pointers(json!([{ "team_id": "T1", "bot_token": "a" }, "T2", { "team_id": "T1", "bot_token": "b" }])),
            ["/tokens/1", "/tokens/2/team_id"]
        );
        let odd = ["", "T 1", "T.1", "T/1", "Té", &"T".repeat(65)];
        for key in odd {
            assert_eq!(pointers(json!([{ "team_id": key, "bot_token": "a" }])), ["/tokens/0/team_id"], "{key}");
        }
        assert_eq!(
            pointers(json!([{ "bot_token": "a" }, { "team_id": 1, "bot_token": "a" }])),
            ["/tokens/0/team_id", "/tokens/1/team_id"]
        );
        assert_eq!(
            pointers(json!([
                { "team_id": "T1" },
                { "team_id": "T2", "bot_token": "a", "bot_token_env": "B" },
                { "team_id": "T3", "bot_token": "a", "bot/tokn": "c" },
                { "team_id": "T4", "bot_token": 5 },
                { "team_id": "T5", "bot_token": { "value": "kept nowhere" } },
            ])),
            [
                "/tokens/0/bot_token",
                "/tokens/1/bot_token_env",
                "/tokens/2/bot~1tokn",
                "/tokens/3/bot_token",
                "/tokens/4/bot_token"
            ]
        );
    }

    #[test]
    fn names_of_connectors_do_not_reach_into_lists() {
        let lists = ["tokens".to_owned()];
        assert!(check_name("a.tokens.T1", lists.iter()).is_some());
        assert!(check_name("tokens.T1", lists.iter()).is_none() && check_name("a.tokens", lists.iter()).is_none());
    }
}
