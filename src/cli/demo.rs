//! `kheishd demo`: the whole path of an event, on a daemon of its own, each step checked and told.
//!
//! State lives in a temporary folder; the connector, its token and its key are made for the occasion; a small receiver
//! takes the replies. The exit code is 0 only when every step did what it should.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::DemoArgs;
use crate::{
    app::{App, StartError},
    clock::Clock,
    config::Settings,
    telemetry::{self, TelemetrySettings},
};

mod operator;
mod receiver;
mod sender;

use receiver::Receiver;
use sender::{Answer, Sender};

/// How long a step may take before the demonstration says that it failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs it.
pub async fn run(args: DemoArgs) -> Result<(), StartError> {
    let log = TelemetrySettings::default();
    let telemetry = telemetry::start(&log, true).map_err(|problem| StartError::Config(vec![problem]))?;
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let mut receiver = Receiver::start().await.context("starting the receiver for replies")?;
    let sender = Sender::new(&Clock::system());
    let connectors = folder.path().join("connectors.toml");
    std::fs::write(&connectors, connectors_file(&sender, &receiver)).context("writing the connectors file")?;
    let app = App::start(settings(folder.path(), &connectors, &args.plugins), Vec::new()).await?;
    let address = app.address();
    println!("kheishd demo: a daemon of its own on http://{address}, state in {}", folder.path().display());
    println!(
        "plugins from {}; connector http/demo with bearer token and HMAC; replies to {}\n",
        args.plugins.display(),
        receiver.url()
    );
    let told = tell(&sender.to(address), &mut receiver).await;
    app.stop().await;
    telemetry.stop().await;
    told?;
    println!("Every step did what it should.");
    Ok(())
}

fn settings(folder: &Path, connectors: &Path, plugins: &Path) -> Settings {
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        state_root: folder.join("state"),
        plugins: Some(plugins.to_owned()),
        connectors_config: Some(connectors.to_owned()),
        executor: "echo".to_owned(),
        ..Settings::default()
    }
}

fn connectors_file(sender: &Sender, receiver: &Receiver) -> String {
    let address = serde_json::json!({ "url": receiver.url(), "allow_private_network": true }).to_string();
    format!(
        "[[http_connectors]]\nname = \"demo\"\nbearer_token = \"{}\"\nhmac_secret = \"{}\"\n\
         session_policy = {{ create_if_missing = true }}\n\
         default_reply_targets = [{{ plugin = \"http\", address = '{address}' }}]\n",
        sender.token, sender.key
    )
}

async fn tell(sender: &Sender, receiver: &mut Receiver) -> anyhow::Result<()> {
    let body = r#"{"idempotency_key":"order-1","binding_keys":["customer:42"],"actor_id":"shop","content":"Order 1 has arrived."}"#;
    println!("1. A signed event");
    let first = sender.post(body).await?;
    let run = accepted(&first)?;
    println!("   receipt    {} (idempotency key `order-1`)", first.receipt);
    println!("   session    {}", text(&first.body, "/session_id"));
    println!("   run        {run}, {}", text(&first.body, "/status"));
    let ended = sender.run_when_completed(&run, PATIENCE).await?;
    println!(
        "   output     {:?}, by the echo executor, attempt {}",
        text(&ended, "/outputs/0/content"),
        ended["attempt"]
    );
    let reply = receiver.next(PATIENCE).await?;
    ensure!(reply.body["content"] == "Order 1 has arrived.", "the reply does not say what was sent: {}", reply.body);
    let settled = sender.delivery_when_delivered(&run, PATIENCE).await?;
    println!("   delivery   {} to the receiver, {}", text(&settled, "/delivery_id"), text(&settled, "/status"));
    println!("              Idempotency-Key: {}\n", reply.idempotency_key);

    println!("2. The same event again, as a platform does that missed the answer");
    let again = sender.post(body).await?;
    ensure!(again.status == 200 && again.receipt == "duplicate", "a duplicate was not recognised: {again:?}");
    ensure!(text(&again.body, "/run_id") == run, "a duplicate became a second run");
    println!("   receipt    {}: the same run {run}, now {}\n", again.receipt, text(&again.body, "/status"));

    println!("3. The same idempotency key with another payload");
    let conflict = sender.post(&body.replace("Order 1", "Order 2")).await?;
    refused(&conflict, 409, "idempotency_conflict")?;

    println!("4. A bad signature");
    let forged = sender.post_forged(body).await?;
    refused(&forged, 401, "invalid_signature")?;

    let runs = sender.get("/v1/runs").await?;
    let count = runs.as_array().map_or(0, Vec::len);
    ensure!(count == 1, "{count} runs exist after one event");
    ensure!(receiver.is_quiet(), "the receiver got a second reply");
    println!("Four requests, one run, one reply.\n");
    operator::tell(sender).await
}

fn accepted(answer: &Answer) -> anyhow::Result<String> {
    ensure!(answer.status == 200 && answer.receipt == "accepted", "the event was not accepted: {answer:?}");
    let digest = hex::encode(&Sha256::digest("customer:42")[..8]);
    let session = text(&answer.body, "/session_id");
    ensure!(session == format!("http:demo:{digest}"), "the event went to session {session}");
    Ok(text(&answer.body, "/run_id"))
}

fn refused(answer: &Answer, status: u16, code: &str) -> anyhow::Result<()> {
    ensure!(answer.status == status && answer.body["code"] == code, "expected {status} {code}: {answer:?}");
    println!("   refused    {status} {code}: {}\n", text(&answer.body, "/detail"));
    Ok(())
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
