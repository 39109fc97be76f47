//! The command line: against the real daemon, and against one that answers by script.

mod apply;
mod connectors;
mod daemon;
mod deliveries;
mod doctor;
mod events;
mod secrets;
mod terminal;
mod together;
mod trial;

use kheish_host_tests::{
    cli::Cli,
    receiver::{Received, Receiver, Reply},
};
use serde_json::{Value, json};

/// A daemon that answers by script.
async fn scripted(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (Receiver, Cli) {
    let receiver = Receiver::scripted(script).await;
    let cli = Cli::at(&receiver.url(""));
    (receiver, cli)
}

/// A JSON answer.
fn answer(status: u16, document: &Value) -> Reply {
    Reply::Body(status, "application/json", document.to_string())
}

/// A refusal.
fn problem(status: u16, code: &str, detail: &str, errors: &[(&str, &str)]) -> Reply {
    let errors: Vec<Value> =
        errors.iter().map(|(pointer, detail)| json!({ "pointer": pointer, "detail": detail })).collect();
    let document = json!({ "type": format!("urn:kheish:problem:{code}"), "title": "", "status": status,
                           "detail": detail, "code": code, "domain": "api", "errors": errors });
    Reply::Body(status, "application/problem+json", document.to_string())
}
