//! Signs and sends events as a platform would, and asks the daemon how they fare.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::Value;
use sha2::Sha256;

use crate::clock::Clock;

const PATH: &str = "/v1/connectors/http/demo";

/// Pause between two looks at something that is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An answer to an event.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) receipt: String,
    pub(super) body: Value,
}

/// Sends events.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) token: String,
    pub(super) key: String,
    base: String,
    clock: Clock,
    client: reqwest::Client,
}

impl Sender {
    /// A sender with a token and a key of its own.
    pub(super) fn new(clock: &Clock) -> Self {
        crate::egress::install_tls();
        let client = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Self { token: clock.instance_id(), key: clock.instance_id(), base: String::new(), clock: clock.clone(), client }
    }

    pub(super) fn to(&self, address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), ..self.clone() }
    }

    pub(super) async fn post(&self, body: &str) -> anyhow::Result<Answer> {
        self.send(body, &self.sign(body, &self.key)).await
    }

    pub(super) async fn post_forged(&self, body: &str) -> anyhow::Result<Answer> {
        self.send(body, &self.sign(body, "not the key")).await
    }

    /// Timestamp and signature (contract section 3.2).
    fn sign(&self, body: &str, key: &str) -> (String, String) {
        let timestamp = (self.clock.now_ms() / 1000).to_string();
        let signed = format!("v1:POST:{PATH}:{timestamp}:{body}");
        let mac =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).map(|mac| mac.chain_update(signed).finalize().into_bytes());
        (timestamp, mac.map(|mac| format!("v1={}", hex::encode(mac))).unwrap_or_default())
    }

    async fn send(&self, body: &str, (timestamp, signature): &(String, String)) -> anyhow::Result<Answer> {
        let request = self
            .client
            .post(format!("{}{PATH}", self.base))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("x-kheish-timestamp", timestamp)
            .header("x-kheish-signature", signature)
            .body(body.to_owned());
        let response = request.send().await.context("sending an event")?;
        let receipt =
            response.headers().get("kheish-receipt").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Answer { status: response.status().as_u16(), receipt: receipt.to_owned(), body: response.json().await? })
    }

    /// JSON to any path, with the token that the connector had at first.
    pub(super) async fn control(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token).json(body);
        let response = request.send().await.with_context(|| format!("sending to {path}"))?;
        let status = response.status().as_u16();
        Ok(Answer { status, receipt: String::new(), body: response.json().await? })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.client.get(format!("{}{path}", self.base)).send().await?.error_for_status()?.json().await?)
    }

    pub(super) async fn run_when_completed(&self, run: &str, patience: Duration) -> anyhow::Result<Value> {
        self.when(run, patience, |view| (view["status"] == "completed").then(|| view.clone())).await
    }

    pub(super) async fn delivery_when_delivered(&self, run: &str, patience: Duration) -> anyhow::Result<Value> {
        self.when(run, patience, |view| {
            view.pointer("/deliveries/0").filter(|delivery| delivery["status"] == "delivered").cloned()
        })
        .await
    }

    /// Looks at a run until it shows what is waited for.
    async fn when(
        &self,
        run: &str,
        patience: Duration,
        shows: impl Fn(&Value) -> Option<Value>,
    ) -> anyhow::Result<Value> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let view = self.get(&format!("/v1/runs/{run}")).await?;
            if let Some(found) = shows(&view) {
                return Ok(found);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("run {run} did not get on: {view}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
