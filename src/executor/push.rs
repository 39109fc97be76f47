//! Sends the run to a URL: the answer ends it, or says that the receiver took it over.
//!
//! A receiver that took it over has the lease, and ends it as workers do, with a token that is good for this run and this
//! lease only. Nobody here waits for it: what it leaves lying is taken up again after its lease, as a worker's would be.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Method, Request, Url};
use serde::Serialize;

use super::{
    Answer, Executor,
    attempt::{Attempt, Failure},
};
use crate::{
    clock::Clock,
    egress::{Egress, Stream, address::Reach},
    model::run::Run,
    secrets::{Secret, run_token::RunTokens, webhook},
    store::Store,
    vault::Vault,
    wire::view::RunView,
};

pub mod answer;
pub mod settings;

use settings::PushSettings;

/// What a request rests on.
pub struct Ground {
    /// Rows.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Signing secrets.
    pub vault: Vault,
    /// Outbound HTTP.
    pub egress: Arc<Egress>,
    /// What receivers show when they call.
    pub tokens: Arc<RunTokens>,
    /// Leases of receivers whose section names no other, in milliseconds.
    pub default_lease_ms: i64,
}

/// Performs runs by sending them to one receiver.
pub struct Push {
    settings: PushSettings,
    /// Who holds leases that were handed over.
    owner: String,
    url: Url,
    ground: Ground,
}

/// A run as it is sent.
#[derive(Serialize)]
struct Sent {
    #[serde(flatten)]
    run: RunView,
    lease: Lease,
}

/// What a receiver needs to take the run over.
#[derive(Serialize)]
struct Lease {
    /// The fence: every call about the run names it.
    epoch: i64,
    /// How long the lease lasts from the moment of a 202 on, and then from each heartbeat on that names no other length.
    lease_ms: i64,
    /// Bearer token of the calls about this run under this epoch.
    token: String,
}

impl Push {
    /// The executor `name` with these settings. The error is a sentence for each of them that makes no sense.
    pub fn new(name: &str, settings: PushSettings, ground: Ground) -> Result<Self, Vec<String>> {
        let url = settings.check()?;
        Ok(Self { settings, owner: format!("push:{name}"), url, ground })
    }

    fn reach(&self) -> Reach {
        if self.settings.allow_private_network { Reach::Private } else { Reach::Public }
    }

    fn lease_ms(&self) -> i64 {
        self.settings.lease_ms.unwrap_or(self.ground.default_lease_ms)
    }

    async fn body(&self, run: &Run, token: &str) -> Result<Vec<u8>, Failure> {
        let broken = |error: String| Failure::passing("push_unavailable", format!("the run cannot be read: {error}"));
        let view = RunView::load(&self.ground.store, run.clone()).await.map_err(|error| broken(error.to_string()))?;
        let lease = Lease { epoch: run.epoch, lease_ms: self.lease_ms(), token: token.to_owned() };
        serde_json::to_vec(&Sent { run: view, lease }).map_err(|error| broken(error.to_string()))
    }

    async fn request(&self, run: &Run, body: Vec<u8>) -> Result<Request, Failure> {
        let signature = self.signature(run, &body).await?;
        let request = self.ground.egress.request(Method::POST, self.url.clone(), self.reach());
        let request = request.timeout(Duration::from_millis(self.settings.timeout_ms));
        let request = request.header(header::CONTENT_TYPE, "application/json").headers(signature).body(body);
        request.build().map_err(|error| misconfigured(error.without_url().to_string()))
    }

    /// The three headers of the Standard Webhooks specification; an unsigned request has the first two.
    async fn signature(&self, run: &Run, body: &[u8]) -> Result<HeaderMap, Failure> {
        let id = format!("{}:{}", run.id, run.epoch);
        let seconds = self.ground.clock.now_ms().div_euclid(1_000);
        let mut pairs = vec![("webhook-id", id.clone()), ("webhook-timestamp", seconds.to_string())];
        if let Some(name) = &self.settings.signing_secret_ref {
            let signature = webhook::sign(&self.secret(name).await?, &id, seconds, body);
            let signature =
                signature.map_err(|error| misconfigured(format!("secret `{name}` cannot sign: {error}")))?;
            pairs.push(("webhook-signature", signature));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::try_from(value).map_err(|error| misconfigured(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    /// Read for each request, so that a changed one counts at once. Without it nothing is sent, and an operator can put it
    /// back before the last attempt.
    async fn secret(&self, name: &str) -> Result<Secret, Failure> {
        match self.ground.vault.get(name).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(misconfigured(format!("secret `{name}` is not set: put it with `kheishd secrets set`"))),
            Err(error) => Err(misconfigured(format!("secret `{name}` cannot be read: {error}"))),
        }
    }

    /// The whole answer; a failure when it is longer than it may be.
    async fn read(&self, stream: &mut Stream) -> Result<Vec<u8>, Failure> {
        let (mut body, most) = (Vec::new(), self.settings.answer_bytes);
        while let Some(chunk) = stream.chunk().await.map_err(answer::broken)? {
            if body.len() + chunk.len() > most {
                let detail = format!("the answer is longer than answer_bytes, {most}");
                return Err(Failure::fatal("push_answer_too_long", detail));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn ask(&self, request: Request, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
        let mut stream = self.ground.egress.open(request, self.reach()).await.map_err(answer::broken)?;
        match stream.status {
            StatusCode::OK => Ok(Answer::Said(answer::outputs(&self.read(&mut stream).await?)?)),
            StatusCode::ACCEPTED => attempt.hand_over(&self.owner, self.lease_ms()).await.map(|()| Answer::HandedOver),
            status => {
                // The status is the answer: a body that breaks off, or never ends, takes nothing away from it.
                let body = self.read(&mut stream).await.unwrap_or_default();
                Err(answer::refused(status, &stream.headers, &body))
            }
        }
    }
}

fn misconfigured(detail: String) -> Failure {
    Failure::passing("push_misconfigured", detail)
}

#[async_trait]
impl Executor for Push {
    async fn perform(&self, run: &Run, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
        let token = self.ground.tokens.token(&run.id.to_string(), run.epoch);
        let request = self.request(run, self.body(run, &token).await?).await?;
        let mut answer = self.ask(request, attempt).await;
        if let Err(failure) = &mut answer {
            // A receiver that repeats what it got must not put a token into the run.
            failure.error.detail = failure.error.detail.replace(&token, "[masked]");
        }
        answer
    }
}
