//! The public route of connectors: `/v1/connectors/{kind}/{name}` and below. Whoever may enter ([`super::door`]) is handed to
//! the kind's plugin.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Body,
    extract::{OriginalUri, Path, Request as HttpRequest, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response as HttpResponse},
    routing::any,
};
use tracing::Instrument as _;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    accept::Accepted,
    admission::BodyLimits,
    answer, counted,
    document::OtherAnswers,
    door::{self, Admitted, DOMAIN, RECEIPT},
    prepare::prepare,
    routes::{Route, Routes},
    told::Verdicts,
};
use crate::{
    clock::Clock,
    connectors::{Answer, Effect, Fault, Refusal, Request, Response},
    delivery::{destinations::Destinations, targets},
    model::{
        event::Event,
        happening::Verdict,
        ids::{ConnectorId, RunId},
    },
    store::Store,
    telemetry::trace,
    wire::{problem::Problem, view::RunView},
};

/// What the routes need.
#[derive(Clone)]
pub struct Ingress {
    /// Configured connectors.
    pub routes: Arc<Routes>,
    /// Connectors that targets can name.
    pub destinations: Arc<dyn Destinations>,
    /// Rows.
    pub store: Store,
    /// Time and ids.
    pub clock: Clock,
    /// Bounds of a body.
    pub body: BodyLimits,
    /// What became of requests, for streams.
    pub verdicts: Arc<Verdicts>,
}

/// The public routes.
pub fn router(ingress: Ingress) -> OpenApiRouter {
    // The document names POST; which methods a connector takes is its kind's to say.
    let (schemas, paths, _) = routes!(receive);
    let (schemas_below, paths_below, _) = routes!(receive_below);
    OpenApiRouter::default()
        .routes((schemas, paths, any(receive)))
        .routes((schemas_below, paths_below, any(receive_below)))
        .with_state(ingress)
}

/// Takes an event from outside.
///
/// Authentication is the connector's own. A kind may take other methods than POST, and answer in its own words.
#[utoipa::path(
    post,
    path = "/v1/connectors/{kind}/{name}",
    operation_id = "receive_event",
    tag = "ingress",
    params(
        ("kind" = String, Path, description = "The connector's kind"),
        ("name" = String, Path, description = "Its name"),
    ),
    request_body(content = Value, description = "What the kind takes; an object for `http`"),
    responses(
        (status = 200, description = "The event is durable: its run", body = RunView,
            headers(("Kheish-Receipt" = String, description = "`accepted`, or `duplicate` for one that was accepted before"))),
        OtherAnswers,
    )
)]
async fn receive(
    State(ingress): State<Ingress>,
    path: Result<Path<Vec<String>>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // A name that is no text is nobody's.
    let path = path.map_or_else(|_| Vec::new(), |Path(path)| path);
    let [kind, name] = [0, 1].map(|index| path.get(index).cloned().unwrap_or_default());
    let id = ConnectorId { kind, name };
    door::answer(&ingress, id, &uri, request, async |route, admitted| take_in(&ingress, &route, admitted).await).await
}

/// Takes an event from outside, on a path that the kind knows.
///
/// As without the path below; kind `http` knows none.
#[utoipa::path(
    post,
    path = "/v1/connectors/{kind}/{name}/{*below}",
    operation_id = "receive_event_below",
    tag = "ingress",
    params(
        ("kind" = String, Path, description = "The connector's kind"),
        ("name" = String, Path, description = "Its name"),
        ("below" = String, Path, description = "The rest of the path, with its slashes"),
    ),
    request_body(content = Value, description = "What the kind takes"),
    responses(
        (status = 200, description = "The event is durable: its run", body = RunView,
            headers(("Kheish-Receipt" = String, description = "`accepted`, or `duplicate` for one that was accepted before"))),
        OtherAnswers,
    )
)]
async fn receive_below(
    ingress: State<Ingress>,
    path: Result<Path<Vec<String>>, PathRejection>,
    uri: OriginalUri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    receive(ingress, path, uri, request).await
}

/// The first event's run is named now, so that all that follows can be found by it. Not before: runs are listed in the order
/// of their ids, and a body may take its time.
async fn take_in(ingress: &Ingress, route: &Route, admitted: Admitted) -> Result<HttpResponse, Problem> {
    let run = ingress.clock.run_id();
    let span = trace::ingress(&route.rules.connector.kind, run);
    let answer = process((ingress, run), route, admitted).instrument(span.clone()).await;
    if answer.as_ref().is_err_and(|problem| problem.status().is_server_error()) {
        span.in_scope(trace::went_wrong);
    }
    answer
}

async fn process(
    (ingress, run): (&Ingress, RunId),
    route: &Route,
    admitted: Admitted,
) -> Result<HttpResponse, Problem> {
    let (bytes, authenticated_by) = admitted.verified(route)?;
    let Admitted { parts, target, now_ms, .. } = admitted;
    let id = &route.rules.connector;
    let call = Request {
        method: parts.method.as_str().to_owned(),
        subpath: subpath(&target).to_owned(),
        target,
        headers: plain_headers(route, &parts.headers),
        body: bytes,
        received_at_ms: u64::try_from(now_ms).unwrap_or(0),
        authenticated_by,
    };
    let called = Instant::now();
    let answer = route.plugin.receive(Arc::clone(&route.context), call).instrument(trace::guest_call()).await;
    route.counts.guest_calls.observe(called.elapsed().as_secs_f64());
    match answer.map_err(|fault| failed(id, &fault))? {
        Answer::Accept { events, effects, response } => accept((ingress, run), route, events, effects, response).await,
        Answer::Respond(response) => {
            counted::note_accepted(&route.counts, &[]);
            Ok(written(response))
        }
        Answer::Refuse(refusal) => Err(refused_by_plugin(refusal)),
    }
}

/// What follows `/v1/connectors/{kind}/{name}`, without the query.
fn subpath(target: &str) -> &str {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    path.match_indices('/').nth(4).map_or("", |(at, _)| &path[at..])
}

/// Everything but credentials that a recipe has checked.
fn plain_headers(route: &Route, headers: &HeaderMap) -> Vec<(String, String)> {
    let consumed = route.verifier.consumed_headers();
    headers
        .iter()
        .filter(|(name, _)| !consumed.iter().any(|consumed| consumed == name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

async fn accept(
    (ingress, run): (&Ingress, RunId),
    route: &Route,
    events: Vec<Event>,
    effects: Vec<Effect>,
    response: Option<Response>,
) -> Result<HttpResponse, Problem> {
    let id = &route.rules.connector;
    let mut entries = Vec::with_capacity(events.len());
    for mut event in events {
        if route.rules.payload_reply_targets {
            check_targets(&mut event, &*ingress.destinations).await?;
        }
        entries.push(prepare(&route.rules, event, &ingress.clock).map_err(|fault| failed(id, &fault))?);
    }
    if let Some(first) = entries.first_mut() {
        first.run = run;
    }
    let outcome = door::commit(ingress, route, entries, effects).instrument(trace::commit()).await?;
    let accepted = outcome.map_err(|refused| door::refused(id, &refused))?;
    counted::note_accepted(&route.counts, &accepted);
    for one in &accepted {
        if let Accepted::Duplicate(run) = one {
            ingress.verdicts.note(id, Verdict::Duplicate, None, Some(*run));
        }
    }
    if let Some(response) = response {
        return Ok(written(response));
    }
    let receipt = match accepted.first() {
        Some(Accepted::Duplicate(_)) => "duplicate",
        _ => "accepted",
    };
    let headers = [(RECEIPT.clone(), HeaderValue::from_static(receipt))];
    Ok(match answer::of_first(&ingress.store, accepted).await? {
        Some(view) => (headers, Json(view)).into_response(),
        None => (headers, StatusCode::NO_CONTENT).into_response(),
    })
}

async fn check_targets(event: &mut Event, destinations: &dyn Destinations) -> Result<(), Problem> {
    let mut checked = Vec::with_capacity(event.reply_targets.len());
    for target in &event.reply_targets {
        checked.push(targets::check_untrusted(target, destinations).await);
    }
    event.reply_targets = answer::targets_taken(DOMAIN, checked)?;
    Ok(())
}

/// The plugin gave no answer. The caller hears a class, the log hears the reason.
fn failed(id: &ConnectorId, fault: &Fault) -> Problem {
    tracing::warn!(connector = %id, error = %fault, "a call of {id} failed: {fault}");
    let problem = |status, code, detail: &str| Problem::new(status, DOMAIN, code, format!("connector `{id}` {detail}"));
    match fault {
        Fault::Overloaded => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "has too many calls in flight: try again")
                .retry_after_ms(1000)
        }
        Fault::Deadline(_) => {
            problem(StatusCode::GATEWAY_TIMEOUT, "connector_timeout", "took too long; nothing was accepted")
        }
        Fault::Memory { .. } | Fault::Trap(_) | Fault::Contract(_) | Fault::Halfway(_) => {
            problem(StatusCode::BAD_GATEWAY, "connector_failed", "failed on this request; nothing was accepted")
        }
        Fault::Host(_) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", "could not be run: try again")
                .retry_after_ms(1000)
        }
    }
}

fn refused_by_plugin(refusal: Refusal) -> Problem {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, DOMAIN, refusal.code, refusal.reason)
}

/// A plugin's own answer, without the headers that belong to the connection.
fn written(response: Response) -> HttpResponse {
    let mut written = HttpResponse::new(Body::from(response.body));
    *written.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    for (name, value) in response.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        if !CONNECTION_HEADERS.contains(&name) {
            written.headers_mut().append(name, value);
        }
    }
    written
}

const CONNECTION_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
