//! The broker: which child may fetch which credentials, for as long as it lives (contract section 4.5).
//!
//! A child is given a token at its start. The token is good while this very child lives and nothing that it was started
//! with has changed; each fetch gives a lease that is short, so that a child asks again and learns of what is new. Only the
//! token's digest is kept, and only in memory: no child outlives the daemon.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::print::Print;
use crate::{
    model::ids::ConnectorId,
    secrets::{Secret, mask},
};

mod route;

pub use route::router;

/// The time in which refusals are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Something that happened to credentials, for the audit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialRow<'r> {
    /// `credential_granted`, `credential_fetched`, `credential_refused` or `credential_revoked`.
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
    /// Refusals of a connector within [`WINDOW`] that are answered in full.
    refusals: u32,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    grants: HashMap<ConnectorId, Grant>,
    refused: HashMap<ConnectorId, Refused>,
}

/// What one child may do.
struct Grant {
    id: String,
    digest: [u8; 32],
    print: Print,
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

/// Why a child does not get what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// The token is none, or not any more.
    Token,
    /// The same, and too often.
    TooOften(Duration),
}

impl Broker {
    /// Nobody may fetch anything yet. Of each connector so many refusals a minute are answered in full.
    pub(super) fn new(ledger: Ledger, refusals: u32) -> Self {
        Self { ledger, refusals, held: Mutex::default() }
    }

    /// Lets a child of this connector fetch its credentials. A former child's grant ends.
    pub(super) fn grant(&self, connector: &ConnectorId, print: Print) -> Granted {
        self.revoke(connector, "replaced");
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(&mut random[..]);
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(&random[..]));
        mask::remember(&Secret::new(token.as_bytes()));
        let id = format!("grant_{:032x}", rand::random::<u128>());
        let grant = Grant { id: id.clone(), digest: digest(token.as_bytes()), print };
        self.lock().grants.insert(connector.clone(), grant);
        self.note("credential_granted", None, &[&connector.to_string(), &id]);
        Granted { id, token }
    }

    /// Ends the grant of a connector's child. Says whether there was one.
    pub(super) fn revoke(&self, connector: &ConnectorId, reason: &'static str) -> bool {
        let Some(grant) = self.lock().grants.remove(connector) else { return false };
        self.note("credential_revoked", Some(reason), &[&connector.to_string(), &grant.id]);
        true
    }

    /// Who shows this token for a connector that stands like this now: the id of its grant.
    fn check(&self, connector: &ConnectorId, print: Print, token: Option<&[u8]>) -> Result<String, Denial> {
        let mut held = self.lock();
        let grant = held.grants.get(connector).filter(|grant| grant.print == print);
        // Also compared where there is nothing to compare with: the time tells nobody whether there is.
        let expected = grant.map_or([0; 32], |grant| grant.digest);
        let shown = digest(token.unwrap_or_default());
        let same = bool::from(expected.ct_eq(&shown)) && token.is_some();
        if let Some(grant) = grant.filter(|_| same) {
            return Ok(grant.id.clone());
        }
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
        Err(if count > self.refusals { Denial::TooOften(left) } else { Denial::Token })
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
mod tests {
    use super::*;

    fn bridge() -> ConnectorId {
        ConnectorId { kind: "external".to_owned(), name: "bridge".to_owned() }
    }

    #[test]
    fn a_token_is_good_for_one_connector_as_it_stands_until_it_is_withdrawn() {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&rows);
        let ledger: Ledger = Arc::new(move |row| noted.lock().unwrap().push((row.event, row.reason)));
        let (broker, print, other) = (Broker::new(ledger, 100), Print::for_tests(1), Print::for_tests(2));
        let granted = broker.grant(&bridge(), print);
        let show = |print, token: &str| broker.check(&bridge(), print, Some(token.as_bytes()));
        assert_eq!(show(print, &granted.token), Ok(granted.id.clone()));
        assert_eq!(show(other, &granted.token), Err(Denial::Token), "it was started with something else");
        assert_eq!(show(print, ""), Err(Denial::Token));
        assert_eq!(broker.check(&bridge(), print, None), Err(Denial::Token));
        let elsewhere = ConnectorId { name: "other".to_owned(), ..bridge() };
        assert_eq!(broker.check(&elsewhere, print, Some(granted.token.as_bytes())), Err(Denial::Token));
        let next = broker.grant(&bridge(), print);
        assert_eq!((show(print, &granted.token), show(print, &next.token)), (Err(Denial::Token), Ok(next.id)));
        assert!(broker.revoke(&bridge(), "operator") && !broker.revoke(&bridge(), "operator"));
        assert_eq!(show(print, &next.token), Err(Denial::Token));
        let revoked: Vec<_> = rows.lock().unwrap().iter().filter_map(|(_, reason)| *reason).collect();
        assert_eq!(revoked.iter().filter(|reason| **reason != "invalid_token").count(), 2, "{revoked:?}");
    }
}
