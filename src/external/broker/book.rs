//! What the broker has written down: who may fetch what, and who has. Tokens are digests here, and values are nowhere.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Print;
use crate::{
    connectors::credentials::{Lease, LeaseState, Subject},
    model::ids::ConnectorId,
};

/// The most leases that are remembered after their end, of all connectors.
const ENDED: usize = 1_024;

/// Everything.
#[derive(Default)]
pub(super) struct Book {
    grants: HashMap<ConnectorId, Grant>,
    ended: VecDeque<Lease>,
}

/// What one child may do.
pub(super) struct Grant {
    pub(super) id: String,
    /// Of its token.
    pub(super) digest: [u8; 32],
    /// What it was started with.
    pub(super) print: Print,
    pub(super) granted_at_ms: i64,
    /// What it may fetch, by the name that it asks for.
    pub(super) keys: BTreeMap<String, Key>,
}

/// One credential of a child.
pub(super) struct Key {
    /// The stored secret.
    pub(super) slot: String,
    /// Whether an operator has taken it away from this child.
    pub(super) withdrawn: bool,
    /// What the child has of it.
    pub(super) lease: Option<Lease>,
}

impl Key {
    /// One that was not fetched yet.
    pub(super) fn new(slot: &str) -> Self {
        Self { slot: slot.to_owned(), withdrawn: false, lease: None }
    }
}

/// A lease that is given, and whether it was there already.
pub(super) struct Leased {
    pub(super) lease_id: String,
    pub(super) expires_at_ms: i64,
    pub(super) renewed: bool,
}

/// What an end of leases was about, for the audit file: connector, grant, lease, key.
pub(super) type Ended = (ConnectorId, Lease);

impl Book {
    /// The grant of a connector's child.
    pub(super) fn grant(&self, connector: &ConnectorId) -> Option<&Grant> {
        self.grants.get(connector)
    }

    /// Writes a grant down. A former one has been ended.
    pub(super) fn begin(&mut self, connector: ConnectorId, grant: Grant) {
        self.grants.insert(connector, grant);
    }

    /// Ends the grant of a connector's child and its leases. Gives its id.
    pub(super) fn end(&mut self, connector: &ConnectorId, reason: &str, now_ms: i64) -> Option<String> {
        let grant = self.grants.remove(connector)?;
        let leases = grant.keys.into_values().filter_map(|key| key.lease);
        leases.for_each(|lease| self.remember(ended(lease, reason, now_ms)));
        Some(grant.id)
    }

    /// A child has fetched a credential: its lease goes on, or a new one begins.
    pub(super) fn lease(
        &mut self,
        connector: &ConnectorId,
        name: &str,
        (now_ms, until_ms): (i64, i64),
    ) -> Option<Leased> {
        let grant = self.grants.get_mut(connector)?;
        let key = grant.keys.get_mut(name).filter(|key| !key.withdrawn)?;
        if let Some(lease) = key.lease.as_mut().filter(|lease| now_ms < lease.expires_at_ms) {
            (lease.renewed_at_ms, lease.expires_at_ms) = (now_ms, until_ms);
            return Some(Leased { lease_id: lease.lease_id.clone(), expires_at_ms: until_ms, renewed: true });
        }
        let lease = Lease {
            lease_id: format!("lease_{:032x}", rand::random::<u128>()),
            subject_id: subject_of(connector),
            grant_id: grant.id.clone(),
            env_key: name.to_owned(),
            slot_id: key.slot.clone(),
            state: LeaseState::Active,
            issued_at_ms: now_ms,
            renewed_at_ms: now_ms,
            expires_at_ms: until_ms,
            revoked_at_ms: None,
            reason: None,
        };
        let leased = Leased { lease_id: lease.lease_id.clone(), expires_at_ms: until_ms, renewed: false };
        if let Some(former) = key.lease.replace(lease) {
            self.remember(at(&former, now_ms));
        }
        Some(leased)
    }

    /// Takes credentials away from children that live. Gives the leases that ended by it.
    pub(super) fn withdraw(&mut self, now_ms: i64, which: impl Fn(&Key) -> bool) -> Vec<Ended> {
        let mut all = Vec::new();
        for (connector, grant) in &mut self.grants {
            for key in grant.keys.values_mut().filter(|key| which(key)) {
                key.withdrawn = true;
                let active = |lease: &Lease| now_ms < lease.expires_at_ms;
                let lease = key.lease.take_if(|lease| active(lease)).map(|lease| ended(lease, "operator", now_ms));
                all.extend(lease.map(|lease| (connector.clone(), lease)));
            }
        }
        all.iter().for_each(|(_, lease)| self.remember(lease.clone()));
        all
    }

    /// A lease as it stands.
    pub(super) fn find(&self, lease_id: &str, now_ms: i64) -> Option<Lease> {
        let living = self.grants.values().flat_map(|grant| grant.keys.values()).filter_map(|key| key.lease.as_ref());
        living.chain(&self.ended).find(|lease| lease.lease_id == lease_id).map(|lease| at(lease, now_ms))
    }

    /// A subject as it stands.
    pub(super) fn subject(&self, connector: &ConnectorId, now_ms: i64) -> Subject {
        let (subject_id, grant) = (subject_of(connector), self.grants.get(connector));
        let ended = self.ended.iter().filter(|lease| lease.subject_id == subject_id);
        let living = grant.into_iter().flat_map(|grant| grant.keys.values()).filter_map(|key| key.lease.as_ref());
        let mut leases: Vec<Lease> = ended.chain(living).map(|lease| at(lease, now_ms)).collect();
        leases.sort_by_key(|lease| lease.issued_at_ms);
        Subject {
            subject_id,
            connector: connector.to_string(),
            grant_id: grant.map(|grant| grant.id.clone()),
            granted_at_ms: grant.map(|grant| grant.granted_at_ms),
            leases,
        }
    }

    fn remember(&mut self, lease: Lease) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(lease);
    }
}

/// What stands before a connector's name in the id of its subject.
pub(super) const SUBJECT: &str = "connector:";

fn subject_of(connector: &ConnectorId) -> String {
    format!("{SUBJECT}{}", connector.name)
}

/// A lease at this moment: its end comes by itself.
fn at(lease: &Lease, now_ms: i64) -> Lease {
    let over = lease.state == LeaseState::Active && now_ms >= lease.expires_at_ms;
    Lease { state: if over { LeaseState::Expired } else { lease.state }, ..lease.clone() }
}

fn ended(lease: Lease, reason: &str, now_ms: i64) -> Lease {
    match at(&lease, now_ms).state {
        LeaseState::Active => {
            Lease { state: LeaseState::Revoked, revoked_at_ms: Some(now_ms), reason: Some(reason.to_owned()), ..lease }
        }
        state => Lease { state, ..lease },
    }
}
