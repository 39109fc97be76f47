//! What operators see of credentials that children fetch, and how they end it.

use super::book::SUBJECT;
use crate::{
    connectors::{
        Context,
        credentials::{Credentials, Lease, NotRevoked, Subject},
        health::ProcessState,
    },
    external::{External, KIND},
    model::ids::ConnectorId,
};

impl External {
    /// The connector that a subject's id names, where the daemon starts a program for it.
    fn connector_of(&self, subject: &str) -> Option<ConnectorId> {
        let id = ConnectorId { kind: KIND.to_owned(), name: subject.strip_prefix(SUBJECT)?.to_owned() };
        self.fleet.find(&id)?.health().process.map(|_| id)
    }
}

impl Credentials for External {
    fn subject(&self, id: &str) -> Option<Subject> {
        Some(self.broker.subject(&self.connector_of(id)?))
    }

    fn revoke_subject(&self, id: &str) -> Result<Subject, NotRevoked> {
        let connector = self.connector_of(id).ok_or(NotRevoked::Unknown)?;
        let watch = self.fleet.find(&connector).ok_or(NotRevoked::Unknown)?;
        if watch.health().process.is_some_and(|process| process.state == ProcessState::Elsewhere) {
            return Err(NotRevoked::RunsElsewhere);
        }
        self.broker.revoke(&connector, "operator");
        watch.process(|process| process.grant_id = None);
        Ok(self.broker.subject(&connector))
    }

    fn lease(&self, id: &str) -> Option<Lease> {
        self.broker.lease(id)
    }

    fn revoke_lease(&self, id: &str) -> Option<Lease> {
        self.broker.withdraw(|key| key.lease.as_ref().is_some_and(|lease| lease.lease_id == id));
        self.broker.lease(id)
    }

    fn revoke_slot(&self, slot: &str) -> usize {
        self.broker.withdraw(|key| key.slot == slot)
    }
}

/// Why a grant ends whose connector became another one: values of secrets are new, or it is started with something else.
pub(in crate::external) fn why(former: &Context, next: &Context) -> &'static str {
    if former.settings == next.settings { "rotated" } else { "changed" }
}
