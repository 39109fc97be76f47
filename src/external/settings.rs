//! A connector's settings, and the rules that their schema cannot say (contract section 2.5). Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{base_url, print};
use crate::connectors::{Claim, Defined, StoredSecret, outbound::WrongSetting};

/// Names that the daemon itself gives to a child's environment.
pub(super) const RESERVED: &str = "KHEISH_EXTERNAL_CONNECTOR_";

/// The last parts of these names.
const RESERVED_NAMES: [&str; 6] =
    ["NAME", "BASE_URL", "DAEMON_BASE_URL", "SHARED_TOKEN", "CREDENTIAL_TOKEN", "CREDENTIAL_KEYS_JSON"];

/// The setting with the sidecar's address.
const BASE_URL: &str = "/base_url";

/// What an operator set, without secrets.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// What the sidecar is a bridge to.
    pub platform: String,
    /// Whether the daemon starts it.
    #[serde(default)]
    pub mode: Mode,
    /// Where it answers.
    pub base_url: String,
    /// Binding keys of every event.
    #[serde(default)]
    pub additional_binding_keys: Vec<String>,
    /// Whether every prefix of a path is a binding key.
    #[serde(default)]
    pub bind_path_prefixes: bool,
    /// What the daemon starts; there with [`Mode::ChildProcess`] and only then.
    pub child_process: Option<ChildProcess>,
}

/// Where a sidecar comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It runs elsewhere.
    #[default]
    RemoteHttp,
    /// The daemon starts it.
    ChildProcess,
}

/// A program that the daemon starts.
#[derive(Clone, Debug, Deserialize)]
pub struct ChildProcess {
    /// The program.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment variables, beside those that the daemon sets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Stored secrets that it may fetch, by the name that it asks for.
    #[serde(default)]
    pub credential_slots: BTreeMap<String, String>,
    /// Where it runs.
    pub working_dir: Option<String>,
    /// Address space of each of its processes, in bytes.
    pub memory_bytes: Option<u64>,
    /// Files that each of its processes may have open.
    pub open_files: Option<u64>,
    /// Its niceness, 0 to 19.
    pub nice: Option<i32>,
}

/// What is wrong with a connector whose settings fit the schema.
pub(super) fn broken_rules(defined: &Defined<'_>) -> Vec<WrongSetting> {
    let settings: Settings = match serde_json::from_value(defined.settings.clone()) {
        Ok(settings) => settings,
        Err(error) => return vec![(String::new(), error.to_string())],
    };
    let mut broken = Vec::new();
    if defined.connector.name == "metrics" {
        let detail = "`/v1/runtime/connectors/external/metrics` are the metrics of all of them: give another name";
        broken.push(("/name".to_owned(), detail.to_owned()));
    }
    match (settings.mode, &settings.child_process) {
        (Mode::RemoteHttp, None) => {}
        (Mode::RemoteHttp, Some(_)) => {
            let detail = "goes with mode = \"child_process\": leave it out, or set the mode";
            broken.push(("/child_process".to_owned(), detail.to_owned()));
        }
        (Mode::ChildProcess, None) => {
            let detail = "missing: mode = \"child_process\" needs the command to start";
            broken.push(("/child_process".to_owned(), detail.to_owned()));
        }
        (Mode::ChildProcess, Some(child)) => broken.extend(wrong_names(child)),
    }
    let checked = match settings.mode {
        Mode::RemoteHttp => base_url::check_remote(&settings.base_url, defined.private_network),
        Mode::ChildProcess => base_url::check_child(&settings.base_url),
    };
    broken.extend(checked.err().map(|sentence| (BASE_URL.to_owned(), sentence)));
    broken
}

fn wrong_names(child: &ChildProcess) -> Vec<WrongSetting> {
    let env = child.env.keys().map(|name| ("env", name));
    let slots = child.credential_slots.keys().map(|name| ("credential_slots", name));
    let wrong = env.chain(slots).filter_map(|(field, name)| {
        let reserved = name.strip_prefix(RESERVED).is_some_and(|rest| RESERVED_NAMES.contains(&rest));
        let sentence = if reserved {
            "the daemon sets this name itself: take another one"
        } else if name.is_empty() || name.contains(['=', '\0']) {
            "no variable can have this name"
        } else {
            return None;
        };
        Some((format!("/child_process/{field}/{}", escaped(name)), sentence.to_owned()))
    });
    wrong.collect()
}

/// A child's port, which it does not share.
pub(super) fn claim(settings: &Map<String, Value>) -> Option<Claim> {
    let child = settings.get("mode")? == "child_process";
    let what = base_url::place(settings.get("base_url")?.as_str()?).filter(|_| child)?;
    Some(Claim { pointer: BASE_URL, what })
}

/// The secrets that a child may fetch.
pub(super) fn stored_secrets(settings: &Map<String, Value>) -> Vec<StoredSecret> {
    let slots =
        settings.get("child_process").and_then(|child| child.get("credential_slots")).and_then(Value::as_object);
    let named = slots.into_iter().flatten().filter_map(|(key, secret)| {
        let pointer = format!("/child_process/credential_slots/{}", escaped(key));
        Some(StoredSecret { slot: print::slot(key), pointer, secret: secret.as_str()?.to_owned() })
    });
    named.collect()
}

/// A name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Shows names of a child's variables and credentials in place of what they hold (contract section 2.7).
pub(super) fn redact(fields: &mut Map<String, Value>) {
    let Some(Value::Object(child)) = fields.get_mut("child_process") else { return };
    for (field, shown) in [("env", "env_keys"), ("credential_slots", "credential_env_keys")] {
        let names: Vec<Value> = match child.remove(field) {
            Some(Value::Object(values)) => values.into_iter().map(|(name, _)| name.into()).collect(),
            _ => Vec::new(),
        };
        if !names.is_empty() {
            child.insert(shown.to_owned(), names.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ids::ConnectorId;

    fn broken(settings: Value, private_network: bool) -> Vec<String> {
        let connector = ConnectorId { kind: "external".to_owned(), name: "bridge".to_owned() };
        let defined = Defined { connector: &connector, settings: &settings, private_network };
        broken_rules(&defined).into_iter().map(|(pointer, _)| pointer).collect()
    }

    fn child(child: Value) -> Value {
        json!({ "platform": "p", "mode": "child_process", "base_url": "http://127.0.0.1:9000", "child_process": child })
    }

    #[test]
    fn a_command_goes_with_its_mode() {
        assert!(broken(json!({ "platform": "p", "base_url": "https://bridge.example" }), false).is_empty());
        assert!(broken(child(json!({ "command": "bridge" })), false).is_empty());
        let mut no_command = child(json!(null));
        no_command.as_object_mut().unwrap().remove("child_process");
        assert_eq!(broken(no_command, false), ["/child_process"]);
        let mut remote = child(json!({ "command": "bridge" }));
        remote["mode"] = json!("remote_http");
        assert_eq!(broken(remote, true), ["/child_process"]);
    }

    #[test]
    fn names_of_the_daemon_s_own_are_refused() {
        for name in RESERVED_NAMES.map(|name| format!("{RESERVED}{name}")) {
            for field in ["env", "credential_slots"] {
                let settings = child(json!({ "command": "bridge", field: { &name: "x" } }));
                assert_eq!(broken(settings, false), [format!("/child_process/{field}/{name}")]);
            }
        }
        let settings = child(
            json!({ "command": "b", "env": { "": "x", "A=B": "x", "GOOD": "x", (format!("{RESERVED}INSTANCE_ID")): "x" } }),
        );
        assert_eq!(broken(settings, false), ["/child_process/env/", "/child_process/env/A=B"]);
    }

    #[test]
    fn values_of_a_child_are_not_shown() {
        let shown = |child: Value| {
            let mut fields = json!({ "child_process": child }).as_object().cloned().unwrap();
            redact(&mut fields);
            Value::Object(fields)["child_process"].clone()
        };
        let child = json!({ "command": "b", "env": { "A": "secret" }, "credential_slots": { "K": "slot" } });
        assert_eq!(shown(child), json!({ "command": "b", "env_keys": ["A"], "credential_env_keys": ["K"] }));
        assert_eq!(shown(json!({ "command": "b", "env": {} })), json!({ "command": "b" }));
    }
}
