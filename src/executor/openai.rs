//! Asks a model behind an OpenAI-compatible chat-completions endpoint, with the session's history.
//!
//! Nothing is said before the answer is whole: a stream that breaks is asked for again from its beginning, and nobody has
//! heard the first half. When the run is taken away the future is dropped, and with it the request.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Method, Request, Url};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    Executor,
    attempt::{self, Attempt},
};
use crate::{
    egress::{Egress, EgressError, Stream, address::Reach},
    model::{output::Output, run::Run, usage::Usage},
    store::{Store, history},
    vault::Vault,
};

pub mod answer;
pub mod failure;
pub mod messages;
pub mod settings;
pub mod sse;

use answer::Answer;
use failure::Failure;
use messages::{Message, Room};
use settings::OpenAiSettings;

/// What an answer may have beside its text, in bytes.
const FRAME_BYTES: usize = 64 * 1024;

/// Performs runs by asking one model.
pub struct OpenAi {
    settings: OpenAiSettings,
    endpoint: Url,
    reach: Reach,
    store: Store,
    vault: Vault,
    egress: Arc<Egress>,
}

impl OpenAi {
    /// For these settings. The error is a sentence for each of them that makes no sense.
    pub fn new(
        settings: OpenAiSettings,
        (store, vault): (Store, Vault),
        egress: Arc<Egress>,
    ) -> Result<Self, Vec<String>> {
        let endpoint = settings.endpoint()?;
        let reach = if settings.allow_private_network { Reach::Private } else { Reach::Public };
        Ok(Self { settings, endpoint, reach, store, vault, egress })
    }

    async fn compose(&self, run: &Run) -> Result<Vec<Message>, Failure> {
        let settings = &self.settings;
        let room = Room::new(settings.history_bytes, settings.history_tokens);
        let earlier = history::before(&self.store, &run.session, run.seq, (settings.history_runs, room.bytes)).await;
        let earlier = earlier.map_err(|error| Failure::passing(format!("the session cannot be read: {error}")))?;
        let present = (run.request.input.as_slice(), run.request.actor.as_deref());
        Ok(messages::compose(settings.system_prompt.as_deref(), earlier, room, present))
    }

    fn body(&self, messages: &[Message]) -> Value {
        let settings = &self.settings;
        let fields = [
            ("model", Some(json!(settings.model))),
            ("messages", Some(json!(messages))),
            ("stream", Some(json!(settings.stream))),
            ("stream_options", settings.stream.then(|| json!({ "include_usage": true }))),
            ("temperature", settings.temperature.map(|value| json!(value))),
            ("max_tokens", settings.max_output_tokens.map(|value| json!(value))),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut body: Map<String, Value> = fields.collect();
        body.extend(settings.extra_body.clone());
        Value::Object(body)
    }

    /// The key is read for each request, so that a changed one counts at once.
    async fn request(&self, body: &Value) -> Result<Request, Failure> {
        let accept = if self.settings.stream { "text/event-stream, application/json" } else { "application/json" };
        let request = self.egress.request(Method::POST, self.endpoint.clone(), self.reach).json(body);
        let request = request.header(header::ACCEPT, accept).timeout(Duration::from_millis(self.settings.timeout_ms));
        let mut request =
            request.build().map_err(|_| Failure::last("openai_misconfigured", "the request cannot be built"))?;
        if let Some(name) = &self.settings.api_key_secret_ref {
            request.headers_mut().insert(header::AUTHORIZATION, self.authorization(name).await?);
        }
        Ok(request)
    }

    async fn authorization(&self, name: &str) -> Result<HeaderValue, Failure> {
        let missing = |reason: String| Failure::last("openai_misconfigured", format!("secret `{name}` {reason}"));
        let secret = self.vault.get(name).await.map_err(|error| missing(format!("cannot be read: {error}")))?;
        let secret = secret.ok_or_else(|| missing("is not set: put it with `kheishd secrets set`".to_owned()))?;
        let value = [b"Bearer ", secret.expose().trim_ascii()].concat();
        let value = HeaderValue::from_bytes(&value);
        let mut value = value.map_err(|_| missing("holds characters that no header may hold".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn ask(&self, body: &Value) -> Result<Answer, Failure> {
        let request = self.request(body).await?;
        let opened = self.egress.open(request, self.reach);
        // A server that writes the whole answer first is silent until it has done so.
        let mut stream = match self.settings.stream {
            true => self.unless_idle(opened).await?,
            false => opened.await.map_err(Failure::of_transport)?,
        };
        if stream.status != StatusCode::OK {
            let mut body = Vec::new();
            while let Some(chunk) = self.next(&mut stream).await.ok().flatten() {
                body.extend_from_slice(&chunk);
                if body.len() > FRAME_BYTES {
                    break;
                }
            }
            return Err(Failure::of_status(stream.status, &stream.headers, &body));
        }
        if is_events(&stream.headers) { self.read_events(stream).await } else { self.read_whole(stream).await }
    }

    async fn read_events(&self, mut stream: Stream) -> Result<Answer, Failure> {
        let mut answer = Answer::new(self.settings.answer_bytes);
        let mut reader = sse::Reader::new(self.whole_bytes());
        while let Some(chunk) = self.next(&mut stream).await? {
            let events =
                reader.feed(&chunk).map_err(|error| Failure::last("openai_answer_too_long", error.to_string()))?;
            for event in events {
                if event.trim() == "[DONE]" {
                    return ended(answer);
                }
                answer.take_chunk(&event).map_err(Failure::of_answer)?;
            }
        }
        ended(answer)
    }

    async fn read_whole(&self, mut stream: Stream) -> Result<Answer, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next(&mut stream).await? {
            if body.len() + chunk.len() > self.whole_bytes() {
                return Err(Failure::of_answer(answer::Unusable::TooLong(self.settings.answer_bytes)));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Answer::new(self.settings.answer_bytes);
        answer.take_whole(&body).map_err(Failure::of_answer)?;
        Ok(answer)
    }

    /// JSON may write a byte as six.
    fn whole_bytes(&self) -> usize {
        self.settings.answer_bytes.saturating_mul(6).saturating_add(FRAME_BYTES)
    }

    async fn next(&self, stream: &mut Stream) -> Result<Option<Bytes>, Failure> {
        self.unless_idle(stream.chunk()).await
    }

    async fn unless_idle<T>(&self, doing: impl Future<Output = Result<T, EgressError>>) -> Result<T, Failure> {
        match timeout(Duration::from_millis(self.settings.idle_timeout_ms), doing).await {
            Ok(done) => done.map_err(Failure::of_transport),
            Err(_) => Err(Failure::passing("no byte came within idle_timeout_ms")),
        }
    }

    /// Asks until there is an answer. Each request is noted when it ends: a failed one has its cost too.
    async fn ask_patiently(&self, attempt: &Attempt<'_>, body: &Value) -> Result<Answer, attempt::Failure> {
        let mut requests = 1;
        loop {
            let asked = self.ask(body).await;
            attempt.spend(self.usage(asked.as_ref().ok())).await?;
            let failure = match asked {
                Ok(answer) => return Ok(answer),
                Err(failure) if !failure.again || requests >= self.settings.max_attempts => {
                    return Err(failure.last_word());
                }
                Err(failure) => failure,
            };
            let wait = failure.after.unwrap_or_default();
            if wait > Duration::from_millis(self.settings.timeout_ms) {
                return Err(failure.another_day(wait));
            }
            let wait = wait.max(failure::backoff(self.settings.backoff_ms, requests, rand::random()));
            let (run, code, detail) = (attempt.fence().run, failure.error.code, failure.error.detail);
            tracing::info!(%run, code, "run {run}: request {requests} failed, another follows: {detail}");
            tokio::time::sleep(wait).await;
            requests += 1;
        }
    }

    fn usage(&self, answer: Option<&Answer>) -> Usage {
        let prices = self.settings.price_per_million_input.zip(self.settings.price_per_million_output);
        let usage = answer.map(|answer| answer.usage(&self.settings.model, prices)).unwrap_or_default();
        Usage { requests: Some(1), ..usage }
    }
}

#[async_trait]
impl Executor for OpenAi {
    async fn perform(&self, run: &Run, attempt: &Attempt<'_>) -> Result<super::Answer, attempt::Failure> {
        let messages = self.compose(run).await.map_err(Failure::another_try)?;
        let answer = self.ask_patiently(attempt, &self.body(&messages)).await?;
        if answer.said().is_empty() {
            let reason = answer.finish_reason().unwrap_or("none");
            let detail = format!("the model ended without a text; finish_reason: {reason}");
            return Err(Failure::last("openai_answer_empty", detail).last_word());
        }
        Ok(vec![Output::from(answer.said().to_owned())].into())
    }
}

fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

/// Some servers leave out the last line, but none leaves out why the model ended.
fn ended(answer: Answer) -> Result<Answer, Failure> {
    if answer.is_complete() { Ok(answer) } else { Err(Failure::passing("the stream broke off")) }
}
