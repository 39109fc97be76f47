//! The order of the rules by which an event finds its session, without a database: fixed id, id named by the caller,
//! session that a binding key is bound to, natural id (contract section 3.1).

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::model::{
    event::SessionKey,
    ids::{ConnectorId, SessionId},
};

/// Where an event may go, before anybody looked at what is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The connector's fixed session, or the one that an authenticated caller named.
    pub chosen: Option<SessionId>,
    /// Sorted, each once.
    pub binding_keys: Vec<String>,
    /// The session that the event's own identity leads to.
    pub natural: Option<SessionId>,
    /// Whether a session that does not exist is made.
    pub create: bool,
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The session.
    pub session: SessionId,
    /// Binding keys that are bound to it from now on.
    pub newly_bound: Vec<String>,
}

/// Why an event has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// Nothing says where it belongs.
    #[error("the event names no session: send a session_id or a binding key, or give the connector a fixed_session_id")]
    Unresolved,
    /// A binding key belongs to another session for good.
    #[error(
        "binding key `{key}` belongs to session `{bound}`, but the event goes to `{wanted}`: send keys of one conversation only"
    )]
    Conflict {
        /// The key.
        key: String,
        /// Where it is bound.
        bound: SessionId,
        /// Where the event would go.
        wanted: SessionId,
    },
}

impl Placement {
    /// Derives the natural session of `key` for `connector` and sorts the binding keys.
    pub fn new(
        connector: &ConnectorId,
        key: &SessionKey,
        mut binding_keys: Vec<String>,
    ) -> Result<Self, crate::model::ids::InvalidSessionId> {
        binding_keys.sort_unstable();
        binding_keys.dedup();
        let derived =
            |digest: &[u8]| SessionId::parse(&format!("{}:{}:{}", connector.kind, connector.name, hex::encode(digest)));
        let mut chosen = None;
        let natural = match key {
            SessionKey::SessionId(id) => {
                chosen = Some(SessionId::parse(id)?);
                None
            }
            SessionKey::Thread(path) => Some(derived(&thread_digest(path)[..16])?),
            SessionKey::RoutingKey(key) => Some(derived(&Sha256::digest(key)[..16])?),
            SessionKey::Unspecified => {
                // Contract section 3.2: 16 hexadecimal digits of the first key after sorting.
                binding_keys.first().map(|first| derived(&Sha256::digest(first)[..8])).transpose()?
            }
        };
        Ok(Self { chosen, binding_keys, natural, create: false })
    }

    /// A place that whoever knows the event has worked out: its natural session, and further names of the conversation.
    pub fn known(natural: Option<SessionId>, mut binding_keys: Vec<String>) -> Self {
        binding_keys.sort_unstable();
        binding_keys.dedup();
        Self { chosen: None, binding_keys, natural, create: false }
    }

    /// Sends everything to one session, whatever the event says.
    #[must_use]
    pub fn fixed(mut self, session: Option<&SessionId>) -> Self {
        if let Some(session) = session {
            self.chosen = Some(session.clone());
        }
        self
    }

    /// Whether a session that does not exist is made.
    #[must_use]
    pub fn creating(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Applies the rules; `bound` says where binding keys belong.
    pub fn decide(&self, bound: &HashMap<String, SessionId>) -> Result<Place, Unplaced> {
        let by_binding = || self.binding_keys.iter().find_map(|key| bound.get(key));
        let session = self.chosen.as_ref().or_else(by_binding).or(self.natural.as_ref()).ok_or(Unplaced::Unresolved)?;
        let mut newly_bound = Vec::new();
        for key in &self.binding_keys {
            match bound.get(key) {
                None => newly_bound.push(key.clone()),
                Some(other) if other == session => {}
                Some(other) => {
                    return Err(Unplaced::Conflict { key: key.clone(), bound: other.clone(), wanted: session.clone() });
                }
            }
        }
        Ok(Place { session: session.clone(), newly_bound })
    }
}

/// Each step is hashed with its length, so that no two paths read alike.
fn thread_digest(path: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for step in path {
        hash.update((step.len() as u64).to_be_bytes());
        hash.update(step);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector() -> ConnectorId {
        ConnectorId { kind: "http".to_owned(), name: "orders".to_owned() }
    }

    fn session(id: &str) -> SessionId {
        SessionId::parse(id).unwrap()
    }

    fn place(key: &SessionKey, keys: &[&str]) -> Placement {
        Placement::new(&connector(), key, keys.iter().map(|key| (*key).to_owned()).collect()).unwrap()
    }

    #[test]
    fn the_natural_id_is_that_of_the_first_key_after_sorting() {
        let placement = place(&SessionKey::Unspecified, &["zebra", "customer:42", "zebra"]);
        let digest = hex::encode(&Sha256::digest("customer:42")[..8]);
        assert_eq!(placement.natural, Some(session(&format!("http:orders:{digest}"))));
        assert_eq!(placement.binding_keys, ["customer:42", "zebra"]);
    }

    #[test]
    fn fixed_beats_named_beats_bound_beats_natural() {
        let bound = HashMap::from([("k".to_owned(), session("bound"))]);
        let natural = place(&SessionKey::Unspecified, &["other"]);
        assert!(natural.decide(&bound).unwrap().session.as_str().starts_with("http:orders:"));
        assert_eq!(place(&SessionKey::Unspecified, &["k", "a"]).decide(&bound).unwrap().session, session("bound"));
        let named = place(&SessionKey::SessionId("named".to_owned()), &[]);
        assert_eq!(named.decide(&bound).unwrap().session, session("named"));
        assert_eq!(named.fixed(Some(&session("fixed"))).decide(&bound).unwrap().session, session("fixed"));
    }

    #[test]
    fn a_key_of_another_session_is_refused_and_free_ones_are_bound() {
        let bound = HashMap::from([("a".to_owned(), session("one")), ("b".to_owned(), session("two"))]);
        assert!(matches!(place(&SessionKey::Unspecified, &["a", "b"]).decide(&bound), Err(Unplaced::Conflict { .. })));
        let placed = place(&SessionKey::Unspecified, &["a", "c"]).decide(&bound).unwrap();
        assert_eq!(placed.newly_bound, ["c"]);
        assert_eq!(place(&SessionKey::Unspecified, &[]).decide(&bound), Err(Unplaced::Unresolved));
    }

    #[test]
    fn threads_with_shifted_borders_are_different_conversations() {
        let one = place(&SessionKey::Thread(vec!["ab".to_owned(), "c".to_owned()]), &[]);
        let two = place(&SessionKey::Thread(vec!["a".to_owned(), "bc".to_owned()]), &[]);
        assert_ne!(one.natural, two.natural);
    }
}
