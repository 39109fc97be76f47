//! Whose token is good for what, and until when.

use std::sync::Mutex;

use super::*;
use crate::connectors::credentials::LeaseState;

/// How long a lease lasts here.
const LEASE_MS: i64 = 60_000;

/// What was noted: event and reason.
type Rows = Arc<Mutex<Vec<(&'static str, Option<&'static str>)>>>;

fn bridge() -> ConnectorId {
    ConnectorId { kind: "external".to_owned(), name: "bridge".to_owned() }
}

fn broker() -> (Broker, Rows) {
    let rows = Rows::default();
    let noted = Arc::clone(&rows);
    let ledger: Ledger = Arc::new(move |row| noted.lock().unwrap().push((row.event, row.reason)));
    (Broker::new(ledger, Clock::system(), 100), rows)
}

fn slots(slots: &[(&str, &str)]) -> BTreeMap<String, String> {
    slots.iter().map(|(key, slot)| ((*key).to_owned(), (*slot).to_owned())).collect()
}

fn fetch(broker: &Broker, print: Print, token: &str, key: &str) -> Result<Fetched, Denial> {
    let asked = Asked { connector: &bridge(), print, token: Some(token.as_bytes()), key };
    broker.fetch(&asked, LEASE_MS)
}

#[test]
fn a_token_is_good_for_one_connector_as_it_stands_until_it_is_withdrawn() {
    let (broker, rows) = broker();
    let (print, other) = (Print::for_tests(1), Print::for_tests(2));
    let slots = slots(&[("KEY", "slot")]);
    let granted = broker.grant(&bridge(), print, &slots);
    let show = |print, token: &str| fetch(&broker, print, token, "KEY").map(|fetched| fetched.grant_id);
    assert_eq!(show(print, &granted.token), Ok(granted.id.clone()));
    assert_eq!(show(other, &granted.token), Err(Denial::Token), "it was started with something else");
    assert_eq!(show(print, ""), Err(Denial::Token));
    assert_eq!(fetch(&broker, print, &granted.token, "OTHER").unwrap_err(), Denial::Key);
    let none = Asked { connector: &bridge(), print, token: None, key: "KEY" };
    assert_eq!(broker.fetch(&none, LEASE_MS), Err(Denial::Token));
    let elsewhere = ConnectorId { name: "other".to_owned(), ..bridge() };
    let stranger = Asked { connector: &elsewhere, print, token: Some(granted.token.as_bytes()), key: "KEY" };
    assert_eq!(broker.fetch(&stranger, LEASE_MS), Err(Denial::Token));
    let next = broker.grant(&bridge(), print, &slots);
    assert_eq!((show(print, &granted.token), show(print, &next.token)), (Err(Denial::Token), Ok(next.id)));
    assert!(broker.revoke(&bridge(), "operator") && !broker.revoke(&bridge(), "operator"));
    assert_eq!(show(print, &next.token), Err(Denial::Token));
    let revoked: Vec<_> = rows.lock().unwrap().iter().filter_map(|(_, reason)| *reason).collect();
    assert_eq!(revoked.iter().filter(|reason| **reason != "invalid_token").count(), 2, "{revoked:?}");
}

#[test]
fn a_lease_goes_on_until_its_end_and_another_one_follows() {
    let mut book = Book::default();
    let grant = || Grant {
        id: "grant".to_owned(),
        digest: [0; 32],
        print: Print::for_tests(1),
        granted_at_ms: 0,
        keys: BTreeMap::from([("KEY".to_owned(), Key::new("slot"))]),
    };
    book.begin(bridge(), grant());
    let mut fetched = |now_ms| book.lease(&bridge(), "KEY", (now_ms, now_ms + 100)).unwrap();
    let first = fetched(0);
    let renewed = fetched(99);
    assert_eq!((&renewed.lease_id, renewed.expires_at_ms, renewed.renewed), (&first.lease_id, 199, true));
    assert_eq!(fetched(198).lease_id, first.lease_id, "its end has moved");
    let second = fetched(298);
    assert!(second.lease_id != first.lease_id && !second.renewed);
    let state = |book: &Book, id: &str, now_ms| book.find(id, now_ms).unwrap().state;
    assert_eq!(state(&book, &first.lease_id, 298), LeaseState::Expired);
    assert_eq!((state(&book, &second.lease_id, 397), state(&book, &second.lease_id, 398)), {
        (LeaseState::Active, LeaseState::Expired)
    });
    assert_eq!(book.end(&bridge(), "stopped", 350).as_deref(), Some("grant"));
    let ended = book.find(&second.lease_id, 1_000).unwrap();
    assert_eq!((ended.state, ended.revoked_at_ms, ended.reason.as_deref()), {
        (LeaseState::Revoked, Some(350), Some("stopped"))
    });
    for round in 0..3_000 {
        book.begin(bridge(), grant());
        book.lease(&bridge(), "KEY", (round, round + 100)).unwrap();
        book.end(&bridge(), "stopped", round);
    }
    assert_eq!((book.subject(&bridge(), 0).leases.len(), book.find(&first.lease_id, 0)), (1_024, None));
}

#[test]
fn operators_end_exactly_what_they_name() {
    let (broker, rows) = broker();
    let print = Print::for_tests(1);
    let granted = broker.grant(&bridge(), print, &slots(&[("A", "one"), ("B", "two"), ("C", "two"), ("D", "two")]));
    let show = |key: &str| fetch(&broker, print, &granted.token, key);
    let [a, b, c] = ["A", "B", "C"].map(|key| show(key).unwrap().lease_id);
    let only = |id: &str| {
        let id = id.to_owned();
        broker.withdraw(move |key| key.lease.as_ref().is_some_and(|lease| lease.lease_id == id))
    };
    assert_eq!((only("lease_of_nobody"), only(&b), only(&b)), (0, 1, 0));
    assert_eq!((show("B"), show("A").unwrap().lease_id), (Err(Denial::Withdrawn), a.clone()));
    assert_eq!(show("C").unwrap().lease_id, c);
    assert_eq!(broker.withdraw(|key| key.slot == "two"), 1, "one of the three has a lease that lives");
    assert_eq!((show("C"), show("D")), (Err(Denial::Withdrawn), Err(Denial::Withdrawn)));
    assert_eq!(broker.lease(&a).unwrap().state, LeaseState::Active);
    assert_eq!((broker.lease(&c).unwrap().state, broker.lease("none")), (LeaseState::Revoked, None));
    let subject = broker.subject(&bridge());
    assert_eq!((subject.subject_id.as_str(), subject.leases.len()), ("connector:bridge", 3));
    assert_eq!(rows.lock().unwrap().iter().filter(|row| **row == ("credential_revoked", Some("operator"))).count(), 2);
    let next = broker.grant(&bridge(), print, &slots(&[("B", "two")]));
    assert!(fetch(&broker, print, &next.token, "B").is_ok(), "a new life begins with nothing withdrawn");
}
