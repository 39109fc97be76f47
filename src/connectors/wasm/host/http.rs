//! `http`: requests to the places that the kind's manifest names, through the egress guard. Secrets are put in after the guest
//! has let go of the request, and masked in what comes back.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::{
    connectors::{
        Context,
        wasm::{
            RequestSettings,
            bindings::kheish::connector::{
                http::{self as wit, ErrorKind, Host},
                types::Header,
            },
            call::State,
        },
    },
    egress::{Egress, EgressError, Stream},
    metrics::ingress::Request as Outcome,
    secrets::mask,
    telemetry::trace,
};

mod body;
mod credentials;
mod prepare;

use prepare::{Prepared, Refused};

/// What is left of a call's time for the guest to say how a request ended.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// Headers of an answer that are about the connection, which is not the guest's.
const OF_THE_CONNECTION: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "upgrade"];

/// What requests of all connectors share.
pub(in crate::connectors::wasm) struct Outside {
    pub(in crate::connectors::wasm) egress: Arc<Egress>,
    pub(in crate::connectors::wasm) settings: RequestSettings,
}

/// What one call may do outside, and has done.
pub(in crate::connectors::wasm) struct Network {
    outside: Arc<Outside>,
    deadline: Instant,
    left: u32,
    /// Whether a request has left that may have changed something.
    sent: bool,
}

impl Network {
    /// For a call that ends after this time.
    pub(in crate::connectors::wasm) fn new(outside: Arc<Outside>, limit: Duration) -> Self {
        let left = outside.settings.per_call;
        Self { outside, deadline: Instant::now() + limit, left, sent: false }
    }

    /// How long a request may take that asks for this many milliseconds, or for none.
    fn patience(&self, asked_ms: Option<u32>) -> Duration {
        let most = Duration::from_millis(self.outside.settings.timeout_ms);
        let asked = asked_ms.map_or(most, |asked| Duration::from_millis(asked.into()));
        let left = self.deadline.saturating_duration_since(Instant::now()).saturating_sub(ANSWER_TIME);
        asked.min(most).min(left)
    }
}

impl State {
    /// Whether a request of this call has left that may have changed something outside.
    pub(in crate::connectors::wasm) fn has_sent(&self) -> bool {
        self.network.as_ref().is_some_and(|network| network.sent)
    }
}

impl Host for State {
    async fn send(&mut self, request: wit::Request) -> wasmtime::Result<Result<wit::Response, wit::Error>> {
        let Some(context) = self.context.clone() else {
            return Ok(Err(denied("a plugin that is being loaded makes no requests")));
        };
        let ended = match &mut self.network {
            Some(network) => network.send(&context, request).await,
            None => Err(denied("somebody waits for this call: it makes no requests")),
        };
        self.waited = true;
        context.counts.guest_requests.add(outcome(&ended));
        if let Err(error) = &ended
            && error.kind == ErrorKind::Denied
        {
            tracing::warn!(connector = %context.connector, reason = error.reason, "a request of {} was denied: {}", context.connector, error.reason);
        }
        Ok(ended)
    }
}

impl Network {
    async fn send(&mut self, context: &Context, request: wit::Request) -> Result<wit::Response, wit::Error> {
        let Some(left) = self.left.checked_sub(1) else {
            let most = self.outside.settings.per_call;
            return Err(denied(&format!("a call makes at most {most} requests (guests.requests.per_call)")));
        };
        self.left = left;
        let (asked_ms, changes) = (request.timeout_ms, !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS"));
        let prepared = prepare::prepare(context, request, &self.outside.settings)?;
        let patience = self.patience(asked_ms);
        let began = Instant::now();
        let Ok(Ok(_permit)) = timeout(patience, context.request_permits.acquire()).await else {
            let reason = "too many requests of this connector are in flight (guests.requests.per_connector)";
            return Err(error(ErrorKind::Timeout, reason, false));
        };
        let patience = patience.saturating_sub(began.elapsed());
        // Said before a byte leaves: the call can end at any moment from now on.
        let before = self.sent;
        self.sent |= changes;
        let span = trace::guest_request(&context.connector.kind, &prepared.destination, prepared.method.as_str());
        let outside = Arc::clone(&self.outside);
        let ended = async {
            let ended = exchange(&outside, prepared, patience).await;
            match &ended {
                Ok(answer) => trace::answered(answer.status),
                Err(_) => trace::went_wrong(),
            }
            ended
        };
        let ended = ended.instrument(span).await;
        if ended.as_ref().is_err_and(|error| !error.sent) {
            self.sent = before;
        }
        ended
    }
}

/// Sends it and takes the answer in, whole and masked.
async fn exchange(outside: &Outside, prepared: Prepared, patience: Duration) -> Result<wit::Response, wit::Error> {
    if patience.is_zero() {
        return Err(error(ErrorKind::Timeout, "there is no time left for a request in this call", false));
    }
    let Outside { egress, settings } = outside;
    let reach = prepared.reach;
    let request = egress
        .request(prepared.method, prepared.url, reach)
        .headers(prepared.headers)
        .body(prepared.body)
        .timeout(patience)
        .build()
        .map_err(|broken| denied(&broken.without_url().to_string()))?;
    let answer = egress.open(request, reach).await.map_err(|cause| failed(cause, patience))?;
    let status = answer.status.as_u16();
    let headers = headers(&answer, settings.header_bytes)?;
    let body = read(answer, settings.response_bytes, patience).await?;
    Ok(wit::Response { status, headers, body: mask::mask_bytes(&body).into_owned(), asset_id: None })
}

fn headers(answer: &Stream, most: usize) -> Result<Vec<Header>, wit::Error> {
    let all = &answer.headers;
    let size: usize = all.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > most {
        let reason = format!("the headers of the answer have more than {most} bytes (guests.requests.header_bytes)");
        return Err(error(ErrorKind::TooLarge, &reason, true));
    }
    let wanted = all.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    let wanted = wanted.map(|(name, value)| Header {
        name: name.to_string(),
        value: String::from_utf8_lossy(&mask::mask_bytes(value.as_bytes())).into_owned(),
    });
    Ok(wanted.collect())
}

async fn read(mut answer: Stream, most: usize, patience: Duration) -> Result<Vec<u8>, wit::Error> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > most => {
                let reason = format!("the answer's body has more than {most} bytes (guests.requests.response_bytes)");
                return Err(error(ErrorKind::TooLarge, &reason, true));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            // It has begun to answer: whatever became of the connection, the request had arrived.
            Err(broken) => return Err(wit::Error { sent: true, ..failed(broken, patience) }),
        }
    }
}

fn failed(cause: EgressError, patience: Duration) -> wit::Error {
    match cause {
        EgressError::Denied(reason) => denied(&reason),
        EgressError::Unreached(reason) => error(ErrorKind::Transport, &reason, false),
        EgressError::Timeout => {
            let reason = format!("no answer within {} ms", patience.as_millis());
            error(ErrorKind::Timeout, &reason, true)
        }
        EgressError::Transport(reason) => error(ErrorKind::Transport, &reason, true),
    }
}

fn denied(reason: &str) -> wit::Error {
    error(ErrorKind::Denied, reason, false)
}

/// Reasons can hold what the platform said.
fn error(kind: ErrorKind, reason: &str, sent: bool) -> wit::Error {
    wit::Error { kind, reason: mask::mask(reason).into_owned(), sent }
}

impl From<Refused> for wit::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(reason) => denied(&reason),
            Refused::TooLarge(reason) => error(ErrorKind::TooLarge, &reason, false),
        }
    }
}

fn outcome(ended: &Result<wit::Response, wit::Error>) -> Outcome {
    match ended.as_ref().map_err(|error| error.kind) {
        Ok(_) => Outcome::Answered,
        Err(ErrorKind::Denied) => Outcome::Denied,
        Err(ErrorKind::Timeout) => Outcome::Timeout,
        Err(ErrorKind::Transport) => Outcome::Transport,
        Err(ErrorKind::TooLarge) => Outcome::TooLarge,
    }
}
