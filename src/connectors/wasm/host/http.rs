//! `http`: requests to the places that the kind's manifest names, through the egress guard. Secrets are put in after the guest
//! has let go of the request, and masked in what comes back.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, header};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::{
    connectors::{
        Context,
        wasm::{
            RequestSettings,
            bindings::kheish::connector::http::{self as wit, Body, ErrorKind, FormValue, Host},
            call::State,
        },
    },
    egress::{Egress, EgressError},
    metrics::ingress::Request as Outcome,
    secrets::mask,
    telemetry::trace,
};

mod answer;
mod body;
mod credentials;
mod prepare;

use body::Sendable;
use prepare::{Prepared, Refused};

/// What is left of a call's time for the guest to say how a request ended.
const ANSWER_TIME: Duration = Duration::from_millis(250);

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
    /// Whether its requests take places among the connector's.
    counts: bool,
}

impl Network {
    /// For a call that ends after this time.
    pub(in crate::connectors::wasm) fn new(outside: Arc<Outside>, limit: Duration) -> Self {
        let left = outside.settings.per_call;
        Self { outside, deadline: Instant::now() + limit, left, sent: false, counts: true }
    }

    /// For a call that others of the connector must not wait for. What bounds such calls bounds their requests.
    pub(in crate::connectors::wasm) fn aside(self) -> Self {
        Self { counts: false, ..self }
    }

    /// How long a request may take.
    fn patience(&self, request: &wit::Request) -> Duration {
        let settings = &self.outside.settings;
        let has_file = match &request.body {
            Body::Asset(_) => true,
            Body::Multipart(fields) => fields.iter().any(|field| matches!(field.value, FormValue::Asset(_))),
            Body::Empty | Body::Bytes(_) => request.store_as.is_some(),
        };
        let most = Duration::from_millis(if has_file { settings.file_timeout_ms } else { settings.timeout_ms });
        let asked = request.timeout_ms.map_or(most, |asked| Duration::from_millis(asked.into()));
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
        let changes = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let patience = self.patience(&request);
        let store_as = request.store_as.clone();
        let prepared = prepare::prepare(context, request, &self.outside.settings)?;
        let began = Instant::now();
        let counts = self.counts;
        let place = async { if counts { context.request_permits.acquire().await.map(Some) } else { Ok(None) } };
        let Ok(Ok(_place)) = timeout(patience, place).await else {
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
            let ended = exchange(&outside, context, prepared, (patience, store_as)).await;
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

/// Sends it and takes the answer in.
async fn exchange(
    outside: &Outside,
    context: &Context,
    prepared: Prepared,
    (patience, store_as): (Duration, Option<String>),
) -> Result<wit::Response, wit::Error> {
    if patience.is_zero() {
        return Err(error(ErrorKind::Timeout, "there is no time left for a request in this call", false));
    }
    let Prepared { method, url, mut headers, body, reach, .. } = prepared;
    let Sendable { body, length, media_type } = body::open(body, &*context.files).await?;
    if let Some(media_type) = media_type.and_then(|media_type| HeaderValue::try_from(media_type).ok()) {
        headers.entry(header::CONTENT_TYPE).or_insert(media_type);
    }
    if length > 0 {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let request = outside
        .egress
        .request(method, url, reach)
        .headers(headers)
        .body(body)
        .timeout(patience)
        .build()
        .map_err(|broken| denied(&broken.without_url().to_string()))?;
    let stream = outside.egress.open(request, reach).await.map_err(|cause| failed(cause, patience))?;
    match store_as.filter(|_| stream.status.is_success()) {
        Some(name) => answer::keep(stream, name, &*context.files, &outside.settings).await,
        None => answer::read(stream, &outside.settings, patience).await,
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
