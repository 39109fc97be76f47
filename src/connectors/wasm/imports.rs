//! What a component asks for and offers, read from its type before it is linked, so that a mismatch is a sentence and
//! not a linker's guess.

use wasmtime::{Engine, component::Component};

/// The contract's package.
const PACKAGE: &str = "kheish:connector/";

/// Contract versions that this host speaks, by major and minor.
const CONTRACT: &str = "0.1";

/// Interfaces of the contract that guests may import.
const PROVIDED: [&str; 6] = ["types", "config", "http", "key-value", "logging", "secrets"];

/// One sentence for each import that cannot be satisfied.
pub(super) fn unsatisfied(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).filter_map(|(name, _)| objection(name)).collect()
}

/// The interfaces of the contract that a component exports, by their short names.
pub(super) fn exported(engine: &Engine, component: &Component) -> Vec<String> {
    let component = component.component_type();
    component.exports(engine).filter_map(|(name, _)| Some(contract_interface(name)?.0.to_owned())).collect()
}

fn objection(name: &str) -> Option<String> {
    if let Some((interface, version)) = contract_interface(name) {
        if minor(version) != CONTRACT {
            return Some(format!(
                "it was built against contract {version}, this host speaks {CONTRACT}: build it against this host's `wit/`"
            ));
        }
        let known = PROVIDED.contains(&interface);
        return (!known).then(|| format!("it imports `{name}`, which this host does not provide yet"));
    }
    if name.starts_with("wasi:http/") {
        return Some(format!("it imports `{name}`: requests go through `kheish:connector/http`"));
    }
    let wasi = name.strip_prefix("wasi:").and_then(|rest| rest.split_once('@'));
    match wasi {
        Some((_, version)) if minor(version) == "0.2" => None,
        Some((_, version)) => Some(format!("it imports `{name}`: this host runs WASI 0.2, not {version}")),
        None => Some(format!("it imports `{name}`, which this host does not know")),
    }
}

/// `kheish:connector/ingress@0.1.0` as `ingress` and `0.1.0`.
fn contract_interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

fn minor(version: &str) -> &str {
    version.match_indices('.').nth(1).map_or(version, |(at, _)| &version[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_passes_and_the_rest_is_named() {
        for good in ["kheish:connector/config@0.1.0", "kheish:connector/secrets@0.1.7", "wasi:cli/stdout@0.2.12"] {
            assert_eq!(objection(good), None);
        }
        for (bad, says) in [
            ("kheish:connector/config@0.2.0", "contract 0.2.0"),
            ("kheish:connector/sockets@0.1.0", "does not provide yet"),
            ("wasi:http/outgoing-handler@0.2.0", "kheish:connector/http"),
            ("wasi:clocks/monotonic-clock@0.3.0", "WASI 0.2"),
            ("acme:thing/x@1.0.0", "does not know"),
        ] {
            assert!(objection(bad).is_some_and(|sentence| sentence.contains(says)), "{bad}");
        }
    }
}
