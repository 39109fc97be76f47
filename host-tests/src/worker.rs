//! A program elsewhere that performs runs: claims them, keeps the lease, ends them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{self, Answer, Client},
    wait::eventually,
};

/// Claims and ends runs.
#[derive(Clone, Debug)]
pub struct Worker {
    client: Client,
    name: String,
}

/// A run under lease.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The run.
    pub run: String,
    /// Its session.
    pub session: String,
    /// The fence.
    pub epoch: i64,
    /// Everything that the claim's answer said of it.
    pub view: Value,
}

impl Claimed {
    fn new(view: &Value) -> Self {
        let text = |name: &str| view[name].as_str().unwrap_or_default().to_owned();
        let epoch = view["lease"]["epoch"].as_i64().unwrap_or_default();
        Self { run: text("run_id"), session: text("session_id"), epoch, view: view.clone() }
    }

    /// The text that the run was made from.
    pub fn text(&self) -> &str {
        self.view.pointer("/input/0/text").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Worker {
    /// A worker of this name.
    pub fn new(client: &Client, name: &str) -> Self {
        Self { client: client.clone(), name: name.to_owned() }
    }

    /// A claim with these further members.
    pub async fn ask(&self, with: &Value) -> Answer {
        let mut body = json!({ "worker_id": self.name });
        if let (Some(body), Some(with)) = (body.as_object_mut(), with.as_object()) {
            body.extend(with.clone());
        }
        self.client.post("/v1/runs/claim", &body).await
    }

    /// What there is, without waiting.
    pub async fn claim(&self, most: usize, lease_ms: u64) -> Vec<Claimed> {
        let answer = self.ask(&json!({ "max_runs": most, "lease_ms": lease_ms })).await.expect(200);
        answer.json["runs"].as_array().expect("a list of runs").iter().map(Claimed::new).collect()
    }

    /// One run, as soon as there is one, under a lease that outlasts the test.
    pub async fn take(&self) -> Claimed {
        self.take_for(600_000).await
    }

    /// One run, as soon as there is one.
    pub async fn take_for(&self, lease_ms: u64) -> Claimed {
        eventually("a run can be claimed", async || self.claim(1, lease_ms).await.pop()).await
    }

    /// Moves the end of the lease.
    pub async fn heartbeat(&self, claimed: &Claimed, lease_ms: u64) -> Answer {
        self.tell(claimed, "heartbeat", json!({ "lease_ms": lease_ms })).await
    }

    /// Says something before the end.
    pub async fn outputs(&self, claimed: &Claimed, texts: &[&str]) -> Answer {
        self.tell(claimed, "outputs", json!({ "outputs": outputs(texts) })).await
    }

    /// Ends a run well.
    pub async fn finish(&self, claimed: &Claimed, texts: &[&str]) -> Answer {
        self.tell(claimed, "finish", json!({ "outputs": outputs(texts) })).await
    }

    /// The same. An error says that no whole answer came back; the run may have ended all the same.
    pub async fn try_finish(&self, claimed: &Claimed, texts: &[&str]) -> reqwest::Result<Answer> {
        let body = json!({ "epoch": claimed.epoch, "outputs": outputs(texts) });
        let path = format!("/v1/runs/{}/finish", claimed.run);
        client::try_answer(self.client.request(Method::POST, &path).json(&body)).await
    }

    /// Ends a run badly, or gives it back.
    pub async fn fail(&self, claimed: &Claimed, code: &str, retry: bool) -> Answer {
        self.tell(claimed, "fail", json!({ "code": code, "reason": "the test says so", "retry": retry })).await
    }

    /// Asks for the end of a run, as an operator does.
    pub async fn cancel(&self, run: &str) -> Answer {
        self.client.post(&format!("/v1/runs/{run}/cancel"), &Value::Null).await
    }

    async fn tell(&self, claimed: &Claimed, verb: &str, mut body: Value) -> Answer {
        body["epoch"] = claimed.epoch.into();
        self.client.post(&format!("/v1/runs/{}/{verb}", claimed.run), &body).await
    }
}

fn outputs(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| json!({ "content": text })).collect()
}
