//! What a conversation is called: its natural session and its binding keys (contract section 4.4). Pure.
//!
//! A binding key stands for the whole path. Where the operator wants it, each prefix of the path is one too; then the
//! conversations below one prefix are one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::super::{KIND, settings::Settings};
use crate::{
    model::ids::{InvalidSessionId, SessionId},
    sessions::placement::Placement,
};

/// Where an event of the connector `name` belongs, by its path, or by its routing key when it has none.
pub(super) fn place(
    name: &str,
    settings: &Settings,
    path: &[String],
    routing_key: Option<&str>,
) -> Result<Placement, InvalidSessionId> {
    let platform = &settings.platform;
    let (identity, mut keys) = match (path, routing_key) {
        ([], None) => (None, Vec::new()),
        ([], Some(key)) => {
            let bound = format!("{KIND}:{name}:{}:route:{}", encoded(platform), encoded(key));
            (serde_json::to_string(&("routing_key", platform, key)).ok(), vec![bound])
        }
        (path, _) => {
            let steps = path.iter().scan(format!("{KIND}:{name}:{}", encoded(platform)), |prefix, step| {
                *prefix = format!("{prefix}:{}", encoded(step));
                Some(prefix.clone())
            });
            let mut keys: Vec<String> = steps.collect();
            if !settings.bind_path_prefixes {
                keys.drain(..keys.len() - 1);
            }
            (serde_json::to_string(&(platform, path)).ok(), keys)
        }
    };
    keys.extend(settings.additional_binding_keys.iter().cloned());
    let natural = identity.map(|identity| {
        let digest = Sha256::digest(identity);
        SessionId::parse(&format!("{KIND}:{name}:{}", hex::encode(&digest[..8])))
    });
    Ok(Placement::known(natural.transpose()?, keys))
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn settings(platform: &str, prefixes: bool, additional: &[&str]) -> Settings {
        let written = serde_json::json!({
            "platform": platform, "base_url": "http://a.example", "bind_path_prefixes": prefixes,
            "additional_binding_keys": additional,
        });
        serde_json::from_value(written).unwrap()
    }

    fn path(steps: &[&str]) -> Vec<String> {
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    fn digest(text: &str) -> String {
        hex::encode(Sha256::digest(text))[..16].to_owned()
    }

    #[test]
    fn a_routing_key_is_bound_as_the_protocol_has_it() {
        let placed = place("grafana-main", &settings("grafana", false, &[]), &[], Some("alerts/team-a")).unwrap();
        assert_eq!(placed.binding_keys, ["external:grafana-main:Z3JhZmFuYQ:route:YWxlcnRzL3RlYW0tYQ"]);
        let natural = format!("external:grafana-main:{}", digest(r#"["routing_key","grafana","alerts/team-a"]"#));
        assert_eq!(placed.natural.unwrap().as_str(), natural);
    }

    #[test]
    fn a_path_alone_says_where_an_event_belongs() {
        let discord = settings("discord", false, &["all"]);
        let placed = place("main", &discord, &path(&["guild", "chän\"nel"]), Some("ignored")).unwrap();
        let natural = format!("external:main:{}", digest(r#"["discord",["guild","chän\"nel"]]"#));
        assert_eq!(placed.natural.unwrap().as_str(), natural);
        assert_eq!(placed.binding_keys, ["all", "external:main:ZGlzY29yZA:Z3VpbGQ:Y2jDpG4ibmVs"]);
        let nothing = place("main", &settings("discord", false, &[]), &[], None).unwrap();
        assert_eq!((nothing.natural, nothing.binding_keys.len()), (None, 0));
    }

    #[test]
    fn siblings_are_one_only_where_prefixes_bind() {
        let (first, second) = (path(&["guild", "one"]), path(&["guild", "two"]));
        for (prefixes, one) in [(false, false), (true, true)] {
            let settings = settings("discord", prefixes, &[]);
            let [first, second] = [&first, &second].map(|path| place("main", &settings, path, None).unwrap());
            let place = first.decide(&HashMap::new()).unwrap();
            let bound = place.newly_bound.iter().map(|key| (key.clone(), place.session.clone())).collect();
            assert_eq!(second.decide(&bound).unwrap().session == place.session, one, "{prefixes}");
        }
        let deep = place("main", &settings("p", true, &[]), &path(&["a", "b", "c"]), None).unwrap();
        assert_eq!(deep.binding_keys, ["external:main:cA:YQ", "external:main:cA:YQ:Yg", "external:main:cA:YQ:Yg:Yw"]);
    }
}
