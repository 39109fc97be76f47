//! Requests as bytes. Everything that changes from one to the next has a fixed width, so that a connection writes into one
//! buffer again and again.

use kheish_host_tests::sign;
use serde_json::{Value, json};

use crate::daemon::{SECRET, TOKEN};

/// Conversations that events are spread over.
pub(crate) const SESSIONS: u64 = 1_000;

/// Where the first event's key, conversation, time and signature stand.
const KEY: &str = "order-000000000000";
const CONVERSATION: &str = "customer:000";
const TIMESTAMP: &str = "0000000000";

/// Whether an event names its conversation. One that goes to a fixed session has the same size and does not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names {
    /// By a binding key.
    Conversation,
    /// In its text only.
    Nothing,
}

/// What a caller of a connector has.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The bearer token.
    pub(crate) token: String,
    /// The key of signatures.
    pub(crate) secret: String,
}

/// A signed POST that can be made anew in place.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    secret: String,
    bytes: Vec<u8>,
    target: String,
    body: usize,
    key: usize,
    conversation: usize,
    timestamp: usize,
    signature: usize,
}

impl Event {
    /// A request to the connector of the file at this path.
    pub(crate) fn to(target: &str, host: &str, names: Names) -> Self {
        let credentials = Credentials { token: TOKEN.to_owned(), secret: SECRET.to_owned() };
        Self::with(credentials, target, host, names)
    }

    /// A request to the connector at this path, which has these credentials.
    pub(crate) fn with(credentials: Credentials, target: &str, host: &str, names: Names) -> Self {
        let Credentials { token, secret } = credentials;
        let body = sample_body(names);
        let unsigned = "0".repeat(64);
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             x-kheish-timestamp: {TIMESTAMP}\r\nx-kheish-signature: v1={unsigned}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let place = |text: &str, part: &str| text.find(part).unwrap_or_default();
        Self {
            secret,
            target: target.to_owned(),
            body: head.len(),
            key: head.len() + place(&body, KEY),
            conversation: head.len() + place(&body, CONVERSATION),
            timestamp: place(&head, TIMESTAMP),
            signature: place(&head, "v1="),
            bytes: [head, body].concat().into_bytes(),
        }
    }

    /// The request for event `number`, signed now.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        let timestamp = sign::now_secs().to_string();
        self.put(self.key, &format!("order-{number:012}"));
        self.put(self.conversation, &format!("customer:{:03}", number % SESSIONS));
        self.put(self.timestamp, &timestamp);
        let signed = sign::sign(&self.secret, "POST", &self.target, &timestamp, &self.bytes[self.body..]);
        self.put(self.signature, &signed.signature);
        &self.bytes
    }

    fn put(&mut self, at: usize, text: &str) {
        self.bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
}

/// A GET without a body.
pub(crate) fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}

/// A PUT of a JSON text.
pub(crate) fn put(path: &str, host: &str, body: &str) -> String {
    with_body("PUT", path, host, body)
}

/// A POST of a JSON text.
pub(crate) fn post(path: &str, host: &str, body: &str) -> String {
    with_body("POST", path, host, body)
}

fn with_body(method: &str, path: &str, host: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// How long an event is.
pub(crate) fn body_bytes() -> usize {
    sample_body(Names::Conversation).len()
}

/// The same event as in `kheishd bench guest`.
fn sample_body(names: Names) -> String {
    let item = |n: u32| json!({ "sku": format!("item-{n:04}"), "quantity": n, "price_cents": n * 199 });
    let items: Vec<Value> = (0..16).map(item).collect();
    let mut body = json!({
        "idempotency_key": KEY, "actor_id": "shop", "content": "Order 123 has arrived with sixteen items.",
        "metadata": { "items": items, "currency": "EUR" },
    });
    match names {
        Names::Conversation => body["binding_keys"] = json!([CONVERSATION]),
        Names::Nothing => {
            body["content"] = format!("Order 123 has arrived with sixteen items, for {CONVERSATION}.").into()
        }
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_made_anew_in_place() {
        let mut event = Event::to("/v1/connectors/http/bench", "127.0.0.1:1", Names::Conversation);
        let one = String::from_utf8(event.numbered(7).to_vec()).unwrap();
        let other = String::from_utf8(event.numbered(123_456_789_012).to_vec()).unwrap();
        assert!(one.contains("\"order-000000000007\"") && one.contains("[\"customer:007\"]"));
        assert!(other.contains("\"order-123456789012\"") && other.contains("[\"customer:012\"]"));
        let (head, body) = other.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let signed =
            sign::sign(SECRET, "POST", "/v1/connectors/http/bench", line("x-kheish-timestamp: "), body.as_bytes());
        assert_eq!(line("x-kheish-signature: "), signed.signature);
    }
}
