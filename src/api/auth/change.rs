//! A change that was let in: a row in the audit file, also when nobody waits for the answer any more.

use std::net::IpAddr;

use axum::{Extension, extract::Request, response::Response};

use super::{
    access,
    audit::{Audit, Event},
};
use crate::{model::ids::DeliveryId, secrets::mask};

/// Characters of a path that are kept.
const PATH: usize = 256;

/// What an answered change was about, where its path does not say it: ids of deliveries, or targets. Handlers put it on
/// their answer.
#[derive(Clone, Debug)]
pub struct Touched(pub Vec<String>);

impl Touched {
    /// Deliveries.
    pub fn deliveries(ids: impl IntoIterator<Item = DeliveryId>) -> Extension<Self> {
        Extension(Self(ids.into_iter().map(|id| id.to_string()).collect()))
    }
}

/// A change under way. Dropped without an answer, because the caller hung up, it is recorded without a status: what was
/// begun may have been done.
pub(super) struct Change {
    event: Event,
    audit: Audit,
}

impl Change {
    /// The request as a change, if it is one that is recorded.
    pub(super) fn of(request: &Request, role: &'static str, remote: IpAddr, audit: &Audit) -> Option<Self> {
        let (method, path) = (request.method(), request.uri().path());
        let event = || Event {
            event: "control_write",
            method: Some(method.to_string()),
            path: Some(mask::cut(path, PATH)),
            role: Some(role),
            remote: Some(remote),
            ..Event::default()
        };
        access::is_audited(method, path).then(|| Self { event: event(), audit: audit.clone() })
    }

    /// It was answered.
    pub(super) fn answered(mut self, answer: &Response) {
        self.event.status = Some(answer.status().as_u16());
        self.event.about = answer.extensions().get::<Touched>().map(|Touched(about)| about.clone()).unwrap_or_default();
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.audit.record(&self.event);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::Body;

    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_change_whose_caller_is_gone_is_a_row_too() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path(), 1_000_000, Clock::system()).unwrap();
        let request = Request::builder().method("PUT").uri("/v1/a?b=c").body(Body::empty()).unwrap();
        let change = || Change::of(&request, "admin", Ipv4Addr::LOCALHOST.into(), &audit).unwrap();
        drop(change());
        change().answered(&Response::new(Body::empty()));
        audit.settle().await;
        let text = std::fs::read_to_string(folder.path().join("control-plane-auth/audit.jsonl")).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert!(first.contains(r#""path":"/v1/a","role":"admin","remote""#), "{text}");
        assert!(second.contains(r#""status":200"#) && !text.contains("b=c"), "{text}");
    }
}
