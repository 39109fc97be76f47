//! What prepares requests, on texts that guests may write.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    connectors::{
        KeyValue,
        files::{ByteStream, Files, NotTaken, OpenFile},
        manifest::Manifest,
        outbound::Outbound,
        wasm::bindings::kheish::connector::http::{Body, HeaderCredential, PathCredential, QueryCredential},
    },
    metrics::Metrics,
    model::ids::ConnectorId,
    secrets::Secret,
};

struct Nothing;

#[async_trait]
impl KeyValue for Nothing {
    async fn get(&self, _: &ConnectorId, _: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

#[async_trait]
impl Files for Nothing {
    async fn open(&self, _: &str) -> anyhow::Result<Option<OpenFile>> {
        Ok(None)
    }

    async fn take_in(&self, _: String, _: String, _: ByteStream) -> Result<String, NotTaken> {
        Err(NotTaken::TooLarge(String::new()))
    }
}

const TOKEN: &str = "123456:secret-token";

fn context() -> Context {
    let manifest = json!({
        "contract": "0.1", "kind": "chat", "version": "1",
        "secrets": {
            "token": { "description": "t", "sent_to": ["api"] },
            "short": { "description": "s", "sent_to": ["api"] },
            "empty": { "description": "e", "sent_to": ["api"] },
            "lines": { "description": "l", "sent_to": ["api"] },
            "home": { "description": "h" },
        },
        "egress": {
            "api": { "origins": ["https://api.example.com"] },
            "files": { "origins": ["https://files.example.com"] },
        },
    });
    let manifest = Manifest::parse(&manifest.to_string()).unwrap();
    let secrets = [("token", TOKEN), ("short", "12345"), ("lines", "line one\nline two"), ("home", "home-secret")];
    Context {
        connector: ConnectorId { kind: "chat".to_owned(), name: "one".to_owned() },
        settings: "{}".to_owned(),
        secrets: secrets
            .into_iter()
            .map(|(slot, value)| (slot.to_owned(), Secret::new(value)))
            .collect::<BTreeMap<_, _>>(),
        key_value: Arc::new(Nothing),
        permits: Arc::new(Semaphore::new(1)),
        delivery_permits: Arc::new(Semaphore::new(1)),
        unknown: manifest.delivery.unknown,
        files: Arc::new(Nothing),
        outbound: Outbound::new(&manifest, &json!({}), false).unwrap(),
        request_permits: Arc::new(Semaphore::new(1)),
        counts: Metrics::new().unwrap().for_kind("chat"),
    }
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        credentials: Vec::new(),
        body: Body::Empty,
        timeout_ms: None,
        store_as: None,
    }
}

fn with(url: &str, credential: Credential) -> Result<Prepared, Refused> {
    let request = Request { credentials: vec![credential], ..get(url) };
    prepare(&context(), request, &RequestSettings::default())
}

fn path(url: &str, marker: &str) -> Result<Prepared, Refused> {
    with(url, Credential::Path(PathCredential { marker: marker.to_owned(), slot: "token".to_owned() }))
}

fn denied(prepared: Result<Prepared, Refused>) -> String {
    match prepared {
        Err(Refused::Denied(reason)) => reason,
        Err(Refused::TooLarge(reason)) => panic!("too large: {reason}"),
        Ok(prepared) => panic!("it would leave for {}", prepared.url),
    }
}

#[test]
fn only_named_places_are_asked() {
    let plain = |url: &str| prepare(&context(), get(url), &RequestSettings::default());
    assert_eq!(plain("https://api.example.com/x").unwrap().destination, "api");
    for url in [
        "https://evil.test/",
        "http://api.example.com/",
        "https://api.example.com:444/",
        "https://api.example.com@evil.test/",
        "https://user@api.example.com/",
        "https://api.example.com/#x",
        "//api.example.com/",
        "/x",
        "",
        "file:///etc/passwd",
        "https://169.254.169.254/",
    ] {
        assert!(plain(url).is_err(), "{url}");
    }
    for method in ["get", "TRACE", "CONNECT", "", "G ET"] {
        let request = Request { method: method.to_owned(), ..get("https://api.example.com/") };
        assert!(denied(prepare(&context(), request, &RequestSettings::default())).contains("method"), "{method}");
    }
    let long = format!("https://api.example.com/{}", "x".repeat(URL_BYTES));
    assert!(matches!(plain(&long), Err(Refused::TooLarge(_))));
}

#[test]
fn a_credential_stands_where_it_was_asked_for() {
    let bearer = with("https://api.example.com/", Credential::Bearer("token".to_owned())).unwrap();
    assert_eq!(bearer.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(bearer.headers["authorization"].is_sensitive());
    let header = HeaderCredential { name: "X-Api-Key".to_owned(), prefix: "k ".to_owned(), slot: "token".to_owned() };
    let header = with("https://api.example.com/", Credential::Header(header)).unwrap();
    assert_eq!(header.headers["x-api-key"], format!("k {TOKEN}"));
    let query = QueryCredential { name: "key".to_owned(), slot: "token".to_owned() };
    let query = with("https://api.example.com/?a=b", Credential::Query(query)).unwrap();
    assert_eq!(query.url.query(), Some("a=b&key=123456%3Asecret-token"));
    let path = path("https://api.example.com/bot-TOKEN-/send", "-TOKEN-").unwrap();
    assert_eq!(path.url.as_str(), format!("https://api.example.com/bot{TOKEN}/send"));
}

#[test]
fn a_credential_goes_nowhere_else() {
    let bearer = |url: &str, slot: &str| denied(with(url, Credential::Bearer(slot.to_owned())));
    assert!(bearer("https://files.example.com/", "token").contains("may not be sent"));
    assert!(bearer("https://api.example.com/", "home").contains("may not be sent"));
    assert!(bearer("https://api.example.com/", "absent").contains("may not be sent"));
    assert!(bearer("https://api.example.com/", "empty").contains("is empty"));
    assert!(bearer("https://api.example.com/", "short").contains("6 to 4,096"));
    assert!(bearer("https://api.example.com/", "lines").contains("cannot stand in the header"));
    for (url, marker) in [
        ("https://api.example.com/x", "MARK"),
        ("https://api.example.com/MARK/MARK", "MARK"),
        ("https://api.example.com/x?MARK", "MARK"),
        ("https://api.example.com/aaaaa", "aaaa"),
        ("https://api.example.com/abc", "abc"),
        ("https://api.example.com/a%2Fb", "a%2Fb"),
    ] {
        denied(path(url, marker));
    }
    let query = QueryCredential { name: "a".to_owned(), slot: "token".to_owned() };
    denied(with("https://api.example.com/?%61=b", Credential::Query(query)));
    for name in ["host", "Content-Length", "proxy-authorization", "x-forwarded-for", "a b"] {
        let header = HeaderCredential { name: name.to_owned(), prefix: String::new(), slot: "token".to_owned() };
        denied(with("https://api.example.com/", Credential::Header(header)));
    }
}

#[test]
fn headers_of_others_are_not_a_guest_s_to_set() {
    let sent = |name: &str, credentials: Vec<Credential>| {
        let headers = vec![Header { name: name.to_owned(), value: "v".to_owned() }];
        let request = Request { headers, credentials, ..get("https://api.example.com/") };
        prepare(&context(), request, &RequestSettings::default())
    };
    assert!(sent("X-Custom", Vec::new()).is_ok());
    for name in
        ["Authorization", "cookie", "Host", "accept-encoding", "Range", "transfer-encoding", "proxy-x", "x\r\ny"]
    {
        denied(sent(name, Vec::new()));
    }
    let header = HeaderCredential { name: "x-key".to_owned(), prefix: String::new(), slot: "token".to_owned() };
    denied(sent("X-Key", vec![Credential::Header(header)]));
    denied(sent("X-Custom", vec![Credential::Bearer("token".to_owned()), Credential::Bearer("token".to_owned())]));
    let big = Header { name: "x".to_owned(), value: "v".repeat(40_000) };
    let request = Request { headers: vec![big], ..get("https://api.example.com/") };
    assert!(matches!(prepare(&context(), request, &RequestSettings::default()), Err(Refused::TooLarge(_))));
}

proptest! {
    /// Whatever the guest asks for, the secret ends up in no request to another place, and in no other part of it.
    #[test]
    fn a_secret_in_a_path_changes_nothing_else(prefix in "[a-zA-Z0-9/._%-]{0,12}", suffix in "[a-zA-Z0-9/._%?&=-]{0,16}") {
        let url = format!("https://api.example.com/{prefix}MARKER{suffix}");
        if let Ok(prepared) = path(&url, "MARKER") {
            let plain = Url::parse(&url).unwrap();
            prop_assert_eq!(prepared.url.origin(), plain.origin());
            prop_assert_eq!(prepared.url.query(), plain.query());
            prop_assert_eq!(prepared.url.path().replacen(TOKEN, "MARKER", 1), plain.path());
        }
    }

    #[test]
    fn a_request_that_leaves_goes_to_a_named_place(url in "(https?://)?[a-z./:@?#\\\\%0-9\\[\\]-]{0,40}|https://api\\.example\\.com[\\PC]{0,12}") {
        if let Ok(prepared) = prepare(&context(), get(&url), &RequestSettings::default()) {
            let host = prepared.url.host_str().unwrap_or_default().to_owned();
            prop_assert!(["api.example.com", "files.example.com"].contains(&host.as_str()), "{}", host);
            prop_assert_eq!(prepared.url.scheme(), "https");
        }
    }
}
