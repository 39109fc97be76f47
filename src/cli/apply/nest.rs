//! A connector as the file has it, flat, becomes the body that the API takes, and says everything: what the connector has
//! and the file has not is reset.

use serde_json::{Map, Value, json};

use super::read::Written;
use crate::cli::{diff::OBSERVED, output::text};

/// The secrets that connectors of a kind can have.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Slots.
    slots: Vec<String>,
    /// Lists, each with the member of an entry that holds its secret.
    lists: Vec<(String, String)>,
}

impl Secrets {
    /// Reads them in the view of a kind.
    pub(super) fn of(kind: &Value) -> Self {
        let members = |name: &str| kind[name].as_object().into_iter().flatten();
        let lists = members("secret_lists").map(|(name, list)| (name.clone(), text(list, "/secret").to_owned()));
        Self { slots: members("secrets").map(|(slot, _)| slot.clone()).collect(), lists: lists.collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.slots.iter().chain(self.lists.iter().map(|(list, _)| list)).any(|secret| secret == name)
    }
}

/// Members of a view that say which connector it is.
const IDENTITY: [&str; 3] = ["kind", "name", "source"];

/// The body for this connector: `secrets` are its kind's, `current` is its view as it is now. A mistake comes with its field.
pub(super) fn body(
    written: &Written,
    secrets: &Secrets,
    current: Option<&Value>,
) -> Result<Map<String, Value>, Vec<(String, String)>> {
    let mut body = written.fields.clone();
    let mut mistakes = Vec::new();
    for slot in &secrets.slots {
        match secret(&mut body, slot) {
            Ok(secret) => drop(body.insert(slot.clone(), secret)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    for (name, member) in &secrets.lists {
        match list(&mut body, name, member) {
            Ok(list) => drop(body.insert(name.clone(), list)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let had = current.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
    let is_field = |name: &str| !IDENTITY.contains(&name) && !OBSERVED.contains(&name);
    for name in had.filter(|name| is_field(name) && !secrets.has(name)) {
        body.entry(name.clone()).or_insert(Value::Null);
    }
    if mistakes.is_empty() { Ok(body) } else { Err(mistakes) }
}

/// Takes a list of secrets out and gives it as the API has it. What is none is the daemon's to refuse.
fn list(body: &mut Map<String, Value>, name: &str, member: &str) -> Result<Value, (String, String)> {
    let mut list = body.remove(name).unwrap_or_else(|| json!([]));
    for entry in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let secret =
            secret(entry, member).map_err(|(field, wrong)| (name.to_owned(), format!("`{field}`: {wrong}")))?;
        entry.insert(member.to_owned(), secret);
    }
    Ok(list)
}

/// Takes `slot`, `slot_env` and `slot_secret_ref` out and gives the one object that they stand for.
fn secret(body: &mut Map<String, Value>, slot: &str) -> Result<Value, (String, String)> {
    let ways = [("", "value"), ("_env", "env"), ("_secret_ref", "secret_ref")];
    let given: Vec<(String, &str, Value)> = ways
        .into_iter()
        .filter_map(|(suffix, member)| {
            let field = format!("{slot}{suffix}");
            let value = body.remove(&field)?;
            Some((field, member, value))
        })
        .collect();
    match given.as_slice() {
        [] => Ok(json!({})),
        // The API's own form, for whoever writes it so.
        [(field, "value", object @ Value::Object(_))] if field == slot => Ok(object.clone()),
        [(_, member, text @ Value::String(_))] => Ok(json!({ *member: text })),
        [(field, ..)] => Err((field.clone(), "expected text in quotes".to_owned())),
        [(first, ..), (second, ..), ..] => Err((second.clone(), format!("give `{first}` or `{second}`, not both"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::apply::read::read;

    fn written(lines: &str) -> Written {
        read(&format!("[[http_connectors]]\nname = \"a\"\n{lines}")).unwrap().remove(0)
    }

    fn slots() -> Secrets {
        let slots = ["bearer_token", "hmac_secret", "signing_secret"];
        Secrets { slots: slots.map(str::to_owned).into(), lists: Vec::new() }
    }

    #[test]
    fn entries_of_lists_say_where_their_secrets_come_from() {
        let kind = json!({ "secrets": {}, "secret_lists": { "tokens": { "key": "team", "secret": "token" } } });
        let body = |lines: &str| body(&written(lines), &Secrets::of(&kind), Some(&json!({ "tokens": [] })));
        assert_eq!(Value::from(body("").unwrap()), json!({ "tokens": [] }), "what the file does not say is reset");
        let lines = "[[http_connectors.tokens]]\nteam = \"T1\"\ntoken = \"x\"\n\
                     [[http_connectors.tokens]]\nteam = \"T2\"\ntoken_secret_ref = \"two\"\n\
                     [[http_connectors.tokens]]\nteam = \"T3\"\n";
        let expected = json!([{ "team": "T1", "token": { "value": "x" } },
                              { "team": "T2", "token": { "secret_ref": "two" } }, { "team": "T3", "token": {} }]);
        assert_eq!(body(lines).unwrap()["tokens"], expected);
        let wrong = body("tokens = [{ team = \"T1\", token = \"x\", token_env = \"X\" }]\n").unwrap_err();
        assert_eq!((wrong[0].0.as_str(), wrong[0].1.contains("`token_env`")), ("tokens", true), "{wrong:?}");
    }

    #[test]
    fn flat_secrets_become_objects_and_missing_ones_are_cleared() {
        let written = written("bearer_token = \"t\"\nhmac_secret_secret_ref = \"shop/key\"\nactor_id = \"x\"\n");
        let body = body(&written, &slots(), None).unwrap();
        let expected = json!({ "bearer_token": { "value": "t" }, "hmac_secret": { "secret_ref": "shop/key" },
                               "signing_secret": {}, "actor_id": "x" });
        assert_eq!(Value::from(body), expected);
    }

    #[test]
    fn what_the_file_does_not_say_is_reset() {
        let current = json!({ "kind": "http", "name": "a", "source": "daemon", "revision": 3, "status": {},
                              "actor_id": "x", "fixed_session_id": "s", "hmac_secret": { "configured": true } });
        let body = body(&written("actor_id = \"y\"\nhmac_secret_env = \"KEY\"\n"), &slots(), Some(&current)).unwrap();
        let expected = json!({ "actor_id": "y", "fixed_session_id": null, "hmac_secret": { "env": "KEY" },
                               "bearer_token": {}, "signing_secret": {} });
        assert_eq!(Value::from(body), expected);
    }

    #[test]
    fn a_secret_comes_from_one_place_and_is_text() {
        let wrong = written("bearer_token = \"t\"\nbearer_token_env = \"T\"\nhmac_secret = 5\n");
        let fields: Vec<String> =
            body(&wrong, &slots(), None).unwrap_err().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["bearer_token_env", "hmac_secret"]);
    }
}
