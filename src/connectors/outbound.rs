//! Where one connector may send requests, and which of its secrets may go there: made of its kind's manifest, its settings
//! and what the operator grants. Pure.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;

use super::manifest::{Manifest, Origin};
use crate::egress::address::Reach;

/// The places that a connector may send requests to.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    places: Vec<Place>,
    /// Names of destinations by secret slot.
    slots: BTreeMap<String, Vec<String>>,
    /// Whether the operator granted private addresses.
    private: bool,
}

#[derive(Clone, Debug)]
struct Place {
    destination: String,
    origin: Origin,
    reach: Reach,
}

/// A place that was found for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The names of the destinations that it is part of, as in the manifest.
    pub destinations: Vec<String>,
    /// How far a request may reach.
    pub reach: Reach,
}

/// What is wrong with a setting: its JSON pointer, and a sentence.
pub type WrongSetting = (String, String);

impl Outbound {
    /// Reads the settings that name places. `private` is the operator's grant of private addresses and plain http; it is for
    /// places that the operator wrote, not for those of the manifest.
    pub fn new(manifest: &Manifest, settings: &Value, private: bool) -> Result<Self, Vec<WrongSetting>> {
        let mut places = Vec::new();
        let mut wrong = Vec::new();
        for (name, destination) in &manifest.egress {
            let written = destination.setting.as_deref().map(|setting| written(settings, setting)).unwrap_or_default();
            let own = written.is_empty();
            let fixed = destination.origins.iter().filter(|_| own).map(|origin| (None, origin.as_str()));
            for (pointer, text) in written.into_iter().map(|(pointer, text)| (Some(pointer), text)).chain(fixed) {
                let place = Origin::parse(text).and_then(|origin| {
                    let reach = reach(&origin, private && pointer.is_some())?;
                    Ok(Place { destination: name.clone(), origin, reach })
                });
                match place {
                    Ok(place) => places.push(place),
                    Err(sentence) => wrong.push((pointer.unwrap_or_default(), sentence)),
                }
            }
        }
        // Two destinations can follow one setting.
        wrong.dedup();
        let single = manifest.secrets.iter().map(|(slot, spec)| (slot.clone(), spec.sent_to.clone()));
        let listed = manifest
            .secret_lists
            .iter()
            .flat_map(|(name, list)| list.slots(name, settings).into_iter().map(|slot| (slot, list.sent_to.clone())));
        let slots = single.chain(listed).collect();
        if wrong.is_empty() { Ok(Self { places, slots, private }) } else { Err(wrong) }
    }

    /// Whether the operator granted private addresses.
    pub fn grants_private(&self) -> bool {
        self.private
    }

    /// Whether requests to this URL are allowed, and how far they may reach.
    pub fn find(&self, url: &Url) -> Option<Found> {
        let mut found: Option<Found> = None;
        for place in self.places.iter().filter(|place| place.origin.covers(url)) {
            let found = found.get_or_insert_with(|| Found { destinations: Vec::new(), reach: place.reach });
            found.destinations.push(place.destination.clone());
            // The operator wrote this very place and granted more.
            if place.reach != Reach::Public {
                found.reach = place.reach;
            }
        }
        found
    }

    /// Whether the secret in this slot may go there.
    pub fn may_carry(&self, slot: &str, found: &Found) -> bool {
        self.slots.get(slot).is_some_and(|bound| bound.iter().any(|name| found.destinations.contains(name)))
    }
}

/// How far requests to a place may reach.
fn reach(origin: &Origin, granted: bool) -> Result<Reach, String> {
    match (origin.is_plain(), granted) {
        (true, true) => return Ok(Reach::Local),
        (true, false) => {
            return Err("plain http needs allow_private_network = true beside it, and reaches private addresses only"
                .to_owned());
        }
        (false, true) => return Ok(Reach::Private),
        (false, false) => {}
    }
    let literal = origin.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    match literal.and_then(|host| host.parse().ok()).map(|address| Reach::Public.check(address)) {
        Some(Err(reason)) => Err(reason),
        _ => Ok(Reach::Public),
    }
}

/// The texts of a setting, with their pointers: one, or those of a list. Anything else is the schema's to refuse.
fn written<'s>(settings: &'s Value, name: &str) -> Vec<(String, &'s str)> {
    match settings.get(name) {
        Some(Value::String(text)) => vec![(format!("/{name}"), text)],
        Some(Value::Array(list)) => {
            let texts = list.iter().enumerate();
            texts.filter_map(|(index, value)| Some((format!("/{name}/{index}"), value.as_str()?))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let text = json!({
            "contract": "0.1", "kind": "chat", "version": "1",
            "settings": { "type": "object", "properties": { "base": {}, "hosts": {} } },
            "secrets": {
                "token": { "description": "t", "sent_to": ["api"] },
                "other": { "description": "o", "sent_to": ["files"] },
                "home": { "description": "h" },
            },
            "secret_lists": { "tokens": { "description": "t", "key": "team", "secret": "token", "sent_to": ["api"] } },
            "egress": {
                "api": { "origins": ["https://api.example.com"], "setting": "base" },
                "files": { "origins": ["https://*.files.example.com"], "setting": "hosts" },
            },
        });
        Manifest::parse(&text.to_string()).unwrap()
    }

    fn found(settings: &Value, private: bool, url: &str) -> Option<(Vec<String>, Reach)> {
        let outbound = Outbound::new(&manifest(), settings, private).unwrap();
        outbound.find(&Url::parse(url).unwrap()).map(|found| (found.destinations, found.reach))
    }

    fn some(name: &str, reach: Reach) -> Option<(Vec<String>, Reach)> {
        Some((vec![name.to_owned()], reach))
    }

    #[test]
    fn the_manifest_s_origins_hold_until_a_setting_takes_their_place() {
        let none = json!({});
        assert_eq!(found(&none, false, "https://api.example.com/x"), some("api", Reach::Public));
        assert_eq!(
            found(&none, true, "https://api.example.com/x"),
            some("api", Reach::Public),
            "a grant is for settings"
        );
        assert_eq!(found(&none, false, "https://a.files.example.com/"), some("files", Reach::Public));
        assert_eq!(found(&none, false, "https://elsewhere.example/"), None);
        let moved = json!({ "base": "http://127.0.0.1:8081/api", "hosts": [] });
        assert_eq!(found(&moved, true, "http://127.0.0.1:8081/other"), some("api", Reach::Local));
        assert_eq!(found(&moved, true, "https://api.example.com/x"), None, "it has moved");
        assert_eq!(
            found(&moved, true, "https://a.files.example.com/"),
            some("files", Reach::Public),
            "an empty list says nothing"
        );
        let both = json!({ "hosts": ["cdn.example.net", "https://api.example.com"] });
        let shared = found(&both, true, "https://api.example.com/x").unwrap();
        assert_eq!(shared, (vec!["api".to_owned(), "files".to_owned()], Reach::Private));
    }

    #[test]
    fn a_secret_goes_only_where_it_is_bound_to() {
        let outbound = Outbound::new(&manifest(), &json!({}), false).unwrap();
        let api = outbound.find(&Url::parse("https://api.example.com/").unwrap()).unwrap();
        let files = outbound.find(&Url::parse("https://a.files.example.com/").unwrap()).unwrap();
        assert!(outbound.may_carry("token", &api) && outbound.may_carry("other", &files));
        assert!(!outbound.may_carry("token", &files) && !outbound.may_carry("other", &api));
        assert!(!outbound.may_carry("home", &api) && !outbound.may_carry("absent", &api));
        assert!(!outbound.may_carry("tokens.T1.token", &api), "there is no such entry");
        let outbound = Outbound::new(&manifest(), &json!({ "tokens": [{ "team": "T1" }] }), false).unwrap();
        assert!(outbound.may_carry("tokens.T1.token", &api) && !outbound.may_carry("tokens.T1.token", &files));
        assert!(!outbound.may_carry("tokens.T2.token", &api) && !outbound.may_carry("tokens", &api));
    }

    #[test]
    fn plain_http_and_private_addresses_want_a_grant() {
        let wrong = |settings: Value, private| Outbound::new(&manifest(), &settings, private).unwrap_err();
        let plain = wrong(json!({ "base": "http://api.example.com" }), false);
        assert_eq!(plain[0].0, "/base");
        assert!(plain[0].1.contains("allow_private_network"), "{plain:?}");
        let private = wrong(json!({ "hosts": ["ok.example", "https://10.0.0.1"] }), false);
        assert_eq!((private.len(), private[0].0.as_str()), (1, "/hosts/1"));
        assert!(Outbound::new(&manifest(), &json!({ "hosts": ["https://10.0.0.1"] }), true).is_ok());
        assert_eq!(wrong(json!({ "base": "not a url" }), true).len(), 1);
    }
}
