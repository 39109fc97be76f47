//! A sidecar that runs elsewhere: says what it is and how it fares, takes deliveries by script, and sends events.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    host::Host,
    receiver::{Received, Receiver, Reply},
    scrape::Scrape,
    sender::Sender,
    wait::eventually,
};

/// What the sidecar and the daemon show each other.
pub const TOKEN: &str = "shared-token-of-the-bridge";

type Deliver = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

struct Words {
    manifest: Reply,
    health: Reply,
    deliver: Deliver,
}

/// A sidecar; stops when dropped.
pub struct Sidecar {
    receiver: Receiver,
    words: Arc<Mutex<Words>>,
}

impl Sidecar {
    /// One that is ready and commits whatever it is given.
    pub async fn start() -> Self {
        let words = Arc::new(Mutex::new(Words {
            manifest: manifest(&json!({})),
            health: health("ready", None),
            deliver: Box::new(|_| verdict(200, "committed")),
        }));
        let said = Arc::clone(&words);
        let receiver = Receiver::scripted(move |request| {
            let words = said.lock().unwrap_or_else(PoisonError::into_inner);
            match request.path.as_str() {
                "/base/manifest" => words.manifest.clone(),
                "/base/health" => words.health.clone(),
                "/base/deliver" => (words.deliver)(request),
                _ => Reply::Status(404),
            }
        })
        .await;
        Self { receiver, words }
    }

    /// Where it answers.
    pub fn base_url(&self) -> String {
        self.receiver.url("/base")
    }

    /// Answers deliveries like this from now on.
    pub fn delivers(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        self.change(|words| words.deliver = Box::new(script));
    }

    /// Answers `/health` like this from now on.
    pub fn fares(&self, reply: Reply) {
        self.change(|words| words.health = reply);
    }

    /// Answers `/manifest` like this from now on.
    pub fn is(&self, reply: Reply) {
        self.change(|words| words.manifest = reply);
    }

    /// The deliveries that came, once there are so many.
    pub async fn when(&self, count: usize) -> Vec<Received> {
        self.receiver.when("/base/deliver", count).await
    }

    /// The deliveries that have come.
    pub fn deliveries(&self) -> Vec<Received> {
        self.receiver.received_at("/base/deliver")
    }

    /// How often it was asked this (`/manifest`, `/health`).
    pub fn asked(&self, call: &str) -> usize {
        self.requests(call).len()
    }

    /// The requests for this.
    pub fn requests(&self, call: &str) -> Vec<Received> {
        self.receiver.received_at(&format!("/base{call}"))
    }

    /// The connector of this name, as a table for a connectors file. It may answer on this machine.
    pub fn connector(&self, name: &str, lines: &str) -> String {
        connector(name, &self.base_url(), lines)
    }

    fn change(&self, change: impl FnOnce(&mut Words)) {
        change(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connector whose sidecar answers here. It may do so on this machine.
pub fn connector(name: &str, base_url: &str, lines: &str) -> String {
    format!(
        "[[external_connectors]]\nname = \"{name}\"\nplatform = \"forge\"\nbase_url = \"{base_url}\"\n\
         allow_private_network = true\nshared_token = \"{TOKEN}\"\ningress_events_per_second = 100000\n\
         session_policy = {{ create_if_missing = true }}\n{lines}\n"
    )
}

/// A sender of events to the connector of this name.
pub fn sender(host: &Host, name: &str) -> Sender {
    Sender::new(&Client::new(host.client().base()), "external", name)
}

/// Sends an event as the sidecar would.
pub async fn send(host: &Host, name: &str, event: &Value) -> Answer {
    sender(host, name).bearer(TOKEN).at("/events").post(event).await
}

/// Sends events together.
pub async fn send_all(host: &Host, name: &str, events: &[Value]) -> Answer {
    sender(host, name).bearer(TOKEN).at("/events/batch").post(&json!({ "events": events })).await
}

/// A small event in the conversation `room`, which is answered there.
pub fn event(id: &str, content: &str) -> Value {
    json!({
        "instance_id": "i-1", "event_id": id, "thread": { "path": ["guild", "room"] }, "content": content,
        "reply_route": "room",
    })
}

/// The same with these members in place of its own.
pub fn event_with(id: &str, members: &Value) -> Value {
    let mut event = event(id, "hello");
    for (name, value) in members.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    event
}

/// What a sidecar says that it is, with these capabilities.
pub fn manifest(capabilities: &Value) -> Reply {
    let body = json!({ "protocol_version": 1, "instance_id": "i-1", "capabilities": capabilities });
    Reply::Body(200, "application/json", body.to_string())
}

/// How a sidecar says that it fares.
pub fn health(status: &str, detail: Option<&str>) -> Reply {
    let body = json!({ "protocol_version": 1, "instance_id": "i-1", "status": status, "detail": detail });
    Reply::Body(200, "application/json", body.to_string())
}

/// What a sidecar says of a delivery.
pub fn verdict(status: u16, outcome: &str) -> Reply {
    Reply::Body(status, "application/json", json!({ "status": outcome, "detail": "by the script" }).to_string())
}

/// How the sidecar of a connector fares, once it is in this state.
pub async fn health_when(host: &Host, name: &str, state: &str) -> Value {
    eventually(&format!("the sidecar of {name} is {state}"), async || {
        let view = host.get(&format!("/v1/runtime/connectors/external/{name}")).await.expect(200).json;
        let health = view["status"]["health"].clone();
        (health["state"] == state).then_some(health)
    })
    .await
}

/// The value of a series of sidecars' metrics; `series` is without what all names begin with.
pub async fn metric(host: &Host, series: &str) -> f64 {
    let answer = host.get("/v1/runtime/connectors/external/metrics").await.expect(200);
    Scrape::read(&answer).value(&format!("external_connector_{series}"))
}
