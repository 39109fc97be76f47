//! The API's document, and how strictly the API takes what it is sent.

mod bodies;
mod document;
mod queries;
mod schemathesis;

use kheish_host_tests::host::Host;
use serde_json::{Value, json};

/// A daemon without connectors and plugins, with one session.
async fn host() -> Host {
    let host = Host::builder().plugins(&[]).start().await;
    host.make_session("s").await;
    host
}

/// A claimed run's id and epoch.
async fn claimed(host: &Host) -> (String, i64) {
    host.submit("s", &json!({ "content": "text" })).await.expect(202);
    let claimed = host.worker("w").take().await;
    (claimed.run, claimed.epoch)
}

/// The document.
async fn document(host: &Host) -> Value {
    host.get("/v1/openapi.json").await.expect(200).json
}
