//! The broker: which child may fetch which credentials, for as long as it lives (contract section 4.5).
//!
//! A child is given a token at its start. The token is good while this very child lives and nothing that it was started
//! with has changed. What it fetches under it is leased: one lease for each credential and life, with an end; a fetch
//! before the end renews it, so that a child asks again and learns of what is new. Operators end leases one by one, all of
//! a child, or all of a stored secret. Everything is in memory, tokens as digests: no child outlives the daemon.
//!
//! | file | holds |
//! |---|---|
//! | `book.rs` | grants and leases |
//! | `route.rs` | the route by which children fetch |
//! | `operate.rs` | what operators see and order |

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::print::Print;
use crate::{
    clock::Clock,
    connectors::credentials::{Lease, Subject},
    model::ids::ConnectorId,
    secrets::{Secret, mask},
};

mod book;
mod operate;
mod route;

use book::{Book, Grant, Key, Leased};
pub(super) use operate::why;
pub use route::router;

/// The time in which refusals are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Something that happened to credentials, for the audit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialRow<'r> {
    /// `credential_granted`, `credential_fetched`, `credential_renewed`, `credential_refused` or `credential_revoked`.
    pub event: &'static str,
    /// Why, where something was refused or withdrawn.
    pub reason: Option<&'static str>,
    /// The connector, and what else it is about: grant, lease, the credential's name.
    pub about: &'r [&'r str],
}

/// Where rows go.
pub type Ledger = Arc<dyn Fn(&CredentialRow<'_>) + Send + Sync>;

/// Who may fetch what.
pub(super) struct Broker {
    ledger: Ledger,
    clock: Clock,
    /// Refusals of a connector within [`WINDOW`] that are answered in full.
    refusals: u32,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    book: Book,
    refused: HashMap<ConnectorId, Refused>,
}

struct Refused {
    began: Instant,
    count: u32,
}

/// A grant as the child gets it.
pub(super) struct Granted {
    /// Its name in the audit file.
    pub(super) id: String,
    /// What the child shows.
    pub(super) token: Zeroizing<String>,
}

/// Who asks for which credential.
struct Asked<'a> {
    connector: &'a ConnectorId,
    /// As it stands now.
    print: Print,
    token: Option<&'a [u8]>,
    key: &'a str,
}

/// A credential that may be had, and under what.
#[derive(Debug, PartialEq, Eq)]
struct Fetched {
    grant_id: String,
    lease_id: String,
    expires_at_ms: i64,
}

/// Why a child does not get what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// The token is none, or not any more.
    Token,
    /// The same, and too often.
    TooOften(Duration),
    /// There is no such credential.
    Key,
    /// An operator has taken it away.
    Withdrawn,
}

impl Broker {
    /// Nobody may fetch anything yet. Of each connector so many refusals a minute are answered in full.
    pub(super) fn new(ledger: Ledger, clock: Clock, refusals: u32) -> Self {
        Self { ledger, clock, refusals, held: Mutex::default() }
    }

    /// Lets a child of this connector fetch its credentials, which are these stored secrets. A former child's grant ends.
    pub(super) fn grant(&self, connector: &ConnectorId, print: Print, slots: &BTreeMap<String, String>) -> Granted {
        self.revoke(connector, "replaced");
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(&mut random[..]);
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(&random[..]));
        mask::remember(&Secret::new(token.as_bytes()));
        let id = format!("grant_{:032x}", rand::random::<u128>());
        let grant = Grant {
            id: id.clone(),
            digest: digest(token.as_bytes()),
            print,
            granted_at_ms: self.clock.now_ms(),
            keys: slots.iter().map(|(key, slot)| (key.clone(), Key::new(slot))).collect(),
        };
        self.lock().book.begin(connector.clone(), grant);
        self.note("credential_granted", None, &[&connector.to_string(), &id]);
        Granted { id, token }
    }

    /// Ends the grant of a connector's child with its leases. Says whether there was one.
    pub(super) fn revoke(&self, connector: &ConnectorId, reason: &'static str) -> bool {
        let Some(grant) = self.lock().book.end(connector, reason, self.clock.now_ms()) else { return false };
        self.note("credential_revoked", Some(reason), &[&connector.to_string(), &grant]);
        true
    }

    /// Leases a credential for so long, or says why not.
    fn fetch(&self, asked: &Asked<'_>, lease_ms: i64) -> Result<Fetched, Denial> {
        let Asked { connector, print, token, key } = *asked;
        let now_ms = self.clock.now_ms();
        let mut held = self.lock();
        let grant = held.book.grant(connector).filter(|grant| grant.print == print);
        // Also compared where there is nothing to compare with: the time tells nobody whether there is.
        let expected = grant.map_or([0; 32], |grant| grant.digest);
        let same = bool::from(expected.ct_eq(&digest(token.unwrap_or_default()))) && token.is_some();
        let Some(grant) = grant.filter(|_| same) else { return Err(self.refuse(held, connector)) };
        if !grant.keys.contains_key(key) {
            return Err(Denial::Key);
        }
        let grant_id = grant.id.clone();
        let until_ms = now_ms.saturating_add(lease_ms);
        let leased = held.book.lease(connector, key, (now_ms, until_ms)).ok_or(Denial::Withdrawn)?;
        drop(held);
        let Leased { lease_id, expires_at_ms, renewed } = leased;
        let event = if renewed { "credential_renewed" } else { "credential_fetched" };
        self.note(event, None, &[&connector.to_string(), &grant_id, &lease_id, key]);
        Ok(Fetched { grant_id, lease_id, expires_at_ms })
    }

    fn refuse(&self, mut held: MutexGuard<'_, Held>, connector: &ConnectorId) -> Denial {
        let now = Instant::now();
        held.refused.retain(|_, refused| now.duration_since(refused.began) < WINDOW);
        let refused = held.refused.entry(connector.clone()).or_insert(Refused { began: now, count: 0 });
        refused.count = refused.count.saturating_add(1);
        let (count, left) = (refused.count, WINDOW.saturating_sub(now.duration_since(refused.began)));
        drop(held);
        // One row more than is answered in full: a flood does not push what matters out of the file.
        if count <= self.refusals.saturating_add(1) {
            self.note("credential_refused", Some("invalid_token"), &[&connector.to_string()]);
        }
        if count > self.refusals { Denial::TooOften(left) } else { Denial::Token }
    }

    /// Who fetches for a connector, and what.
    fn subject(&self, connector: &ConnectorId) -> Subject {
        self.lock().book.subject(connector, self.clock.now_ms())
    }

    /// A lease, while it is remembered.
    fn lease(&self, id: &str) -> Option<Lease> {
        self.lock().book.find(id, self.clock.now_ms())
    }

    /// Takes credentials away from children that live. Says how many leases ended by it.
    fn withdraw(&self, which: impl Fn(&Key) -> bool) -> usize {
        let ended = self.lock().book.withdraw(self.clock.now_ms(), which);
        for (connector, lease) in &ended {
            let about = [&connector.to_string(), &lease.grant_id, &lease.lease_id, &lease.env_key];
            self.note("credential_revoked", Some("operator"), &about.map(String::as_str));
        }
        ended.len()
    }

    fn note(&self, event: &'static str, reason: Option<&'static str>, about: &[&str]) {
        (self.ledger)(&CredentialRow { event, reason, about });
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests;
