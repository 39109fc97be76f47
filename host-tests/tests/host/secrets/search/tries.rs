//! Requests that are refused and hold a secret that the daemon knows, in every place that a refusal may speak of.

use base64::{Engine, prelude::BASE64_STANDARD};
use kheish_host_tests::{
    client::{self, Client},
    host::Host,
    raw,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Book, Canaries};
use crate::secrets::guarded;

/// All of them, with every value but for those of the places that the daemon does not know of. Every one must be refused.
pub(super) async fn all(host: &Host, canaries: &Canaries, unknown: &[&str], book: &mut Book) {
    for value in canaries.texts_but(unknown) {
        events(host, canaries, value, book).await;
        paths(host, value, book).await;
        bodies(host, value, book).await;
    }
    strangers(host, canaries, unknown, book).await;
}

/// Events with the value where it has no place.
async fn events(host: &Host, canaries: &Canaries, value: &str, book: &mut Book) {
    let wrong = host.sender("inline").bearer(&format!("{value}-wrong")).hmac(value);
    let answer = wrong.post(&json!({ "content": "hello" })).await.expect(401);
    book.answer("a wrong token", answer);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("user:{value}")));
    let odd =
        host.sender("inline").header("authorization", &basic).header("x-kheish-signature", &format!("v1={value}"));
    book.answer("another scheme", odd.post_bytes(value).await.expect(401));
    let good = host.sender("inline").bearer(canaries.of("file-bearer")).hmac(canaries.of("file-hmac"));
    let mut unknown = json!({ "content": "hello" });
    unknown[value] = json!(1);
    for body in [
        unknown.to_string(),
        json!({ "content": { value: value } }).to_string(),
        json!({ "content": "hello", "session_id": format!("{value}\n") }).to_string(),
        json!({ "content": "hello", "attachments": [{ value: value }] }).to_string(),
        json!({ "content": "hello", "reply_targets": [{ "plugin": value, "address": value }] }).to_string(),
        format!("{{\"content\": {value}"),
        value.to_owned(),
    ] {
        let answer = good.post_bytes(body).await;
        assert!((400..500).contains(&answer.status), "{}", answer.json);
        book.answer("a broken event", answer);
    }
    let odd = good.header("user-agent", value).header("x-request-id", value).header("traceparent", value);
    book.answer("an event with odd headers", odd.at(&format!("/{value}?{value}={value}")).post_bytes("{}").await);
}

/// The value in a path or a query.
async fn paths(host: &Host, value: &str, book: &mut Book) {
    for path in [
        format!("/v1/runs/{value}"),
        format!("/v1/sessions/{value}"),
        format!("/v1/sessions/{value}/reply-targets"),
        format!("/v1/deliveries/{value}"),
        format!("/v1/connector-kinds/{value}"),
        format!("/v1/runtime/connectors/{value}/{value}"),
        format!("/v1/runtime/connectors/http/{value}"),
        format!("/v1/runtime/secrets/{value}"),
        format!("/v1/nothing/{value}"),
        format!("/v1/runs?{value}=1"),
        format!("/v1/runs?status={value}"),
        format!("/v1/runs?limit={value}"),
        format!("/v1/runs?cursor={value}"),
        format!("/v1/events/stream?{value}={value}"),
    ] {
        let answer = host.get(&path).await;
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.json);
        book.answer("a path", answer);
        book.answer("a deleted path", host.delete(&path).await);
    }
    let (_, text) =
        raw::exchange(host.client(), format!("GET /{value} HTTP/1.1\r\nhost: {value}\r\n\r\n").as_bytes()).await;
    book.note("an answer to another host's name", text);
    let (_, text) = raw::exchange(host.client(), format!("GET /{value} {value}\r\n\r\n").as_bytes()).await;
    book.note("an answer to what is not HTTP", text);
}

/// The value in the body of a change.
async fn bodies(host: &Host, value: &str, book: &mut Book) {
    let good = guarded(&json!({ "value": value }), &json!({ "value": value }));
    let with = |field: &str, what: Value| {
        let mut fields = good.clone();
        fields[field] = what;
        fields
    };
    for fields in [
        with(value, json!(1)),
        with("ingress_events_per_second", json!(value)),
        with("fixed_session_id", json!(format!("{value}\n"))),
        with("session_policy", json!({ value: value })),
        with("default_reply_targets", json!([{ "plugin": value, "address": value }])),
        with("default_reply_targets", json!([{ "plugin": "http", "address": value }])),
        with("default_reply_targets", json!([{ "plugin": "http", "address": format!("http://{value}@a.example/") }])),
        with("bearer_token", json!({ "env": value })),
        with("bearer_token", json!({ "secret_ref": value })),
        with("bearer_token", json!(value)),
        json!(value),
    ] {
        let answer = host.put_http("broken", &fields).await;
        assert!((400..500).contains(&answer.status), "{fields}: {} {}", answer.status, answer.json);
        book.answer("a broken definition", answer);
    }
    for (path, body) in [
        ("/v1/runtime/secrets", json!({ "slot_id": format!("{value}\n"), "state": { "value": value } })),
        ("/v1/runtime/secrets", json!({ "slot_id": "x", "provider": value, "state": { "value": value } })),
        ("/v1/runtime/secrets", json!({ "slot_id": "x", "state": { "value": [value] } })),
        ("/v1/sessions", json!({ "session_id": format!("{value}\n") })),
        ("/v1/sessions", json!({ value: value })),
        ("/v1/runs/claim", json!({ "worker_id": [value] })),
        ("/v1/runs/run_0/fail", json!({ "epoch": 1, "code": value, "reason": value })),
    ] {
        let answer = host.post(path, &body).await;
        assert!((400..500).contains(&answer.status), "{path} {body}: {} {}", answer.status, answer.json);
        book.answer("a broken body", answer);
    }
}

/// Callers of the control plane that have no right to it.
async fn strangers(host: &Host, canaries: &Canaries, unknown: &[&str], book: &mut Book) {
    let anybody = Client::new(host.client().base());
    for value in canaries.texts_but(unknown) {
        let wrong = anybody.with_token(&format!("{value}x"));
        book.answer("a wrong admin token", wrong.get("/v1/status").await.expect(401));
        let query = anybody.get(&format!("/v1/status?token={value}")).await.expect(401);
        book.answer("a token in the query", query);
        let page = host.client().request(Method::GET, "/v1/status").header("origin", format!("http://{value}.example"));
        book.answer("a page elsewhere", client::answer(page).await.expect(403));
    }
    let reader = anybody.with_token(canaries.of("reader"));
    let secret = json!({ "slot_id": "x", "state": { "value": canaries.of("team") } });
    book.answer("a reader who writes", reader.post("/v1/runtime/secrets", &secret).await.expect(403));
    book.answer("a reader who reads", reader.get("/v1/status").await.expect(200));
}
