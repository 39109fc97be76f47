//! The public route of connectors: `/v1/connectors/{kind}/{name}` and below.
//!
//! Order matters: who calls is settled from the head before a body is read, and from the body's bytes before anything
//! parses them. A refusal at any step leaves no receipt, no run and no spent rate token.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Body,
    extract::{OriginalUri, Path, Request as HttpRequest, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response as HttpResponse},
    routing::any,
};
use tracing::Instrument as _;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    accept::{Accept, Accepted, Entry, Refused},
    admission::{self, BodyLimits},
    answer, counted,
    document::OtherAnswers,
    prepare::prepare,
    routes::{Route, Routes},
    told::Verdicts,
    verify::{Denied, Head},
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
    sessions::placement::Unplaced,
    store::{Store, StoreError},
    telemetry::trace,
    wire::{problem::Problem, view::RunView},
};

const DOMAIN: &str = "connector_ingress";

/// The code of a key that was used for another payload.
const CONFLICT: &str = "idempotency_conflict";

/// Says whether an answer is to a new event or to one that was accepted before.
static RECEIPT: HeaderName = HeaderName::from_static("kheish-receipt");

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
    let Some(route) = ingress.routes.find(&id) else {
        ingress.store.metrics().count_unknown_connector();
        return Err(Problem::not_found(DOMAIN, "connector_not_found", format!("there is no connector `{id}`")));
    };
    let started = Instant::now();
    let answer = match admit(&ingress, &route, &uri, request).await {
        Ok(admitted) => take_in(&ingress, &route, admitted).await,
        Err(problem) => Err(problem),
    };
    counted::note(&route.counts, answer.as_ref().err(), started);
    // Streams are not told of names that nobody has configured: anybody could invent them.
    if let Err(problem) = &answer {
        ingress.verdicts.note_refused(&id, problem);
    }
    // The store's own trouble is this zone's problem here.
    answer.map_err(|problem| problem.in_domain(DOMAIN))
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

/// A request that is whole, and whose head has passed.
struct Admitted {
    parts: Parts,
    head: Head,
    target: String,
    bytes: bytes::Bytes,
    now_ms: i64,
}

/// Looks at the head, and only then reads the body.
async fn admit(ingress: &Ingress, route: &Route, uri: &Uri, request: HttpRequest) -> Result<Admitted, Problem> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let (parts, body) = request.into_parts();
    check_method(route, &parts.method)?;
    if route.closed {
        let detail = format!("connector `{}` fetches its events: nothing is taken here", route.rules.connector);
        return Err(Problem::conflict(DOMAIN, "ingress_closed", detail));
    }
    let now_ms = ingress.clock.now_ms();
    let head = route.verifier.check_head(parts.method.as_str(), target, &parts.headers, now_ms).map_err(denied)?;
    let bytes = read(ingress, &parts.headers, body).await?;
    Ok(Admitted { target: target.to_owned(), parts, head, bytes, now_ms })
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
    let Admitted { parts, head, target, bytes, now_ms } = admitted;
    let id = &route.rules.connector;
    let authenticated_by = trace::verify().in_scope(|| route.verifier.check_body(&head, &bytes)).map_err(denied)?;
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

async fn read(ingress: &Ingress, headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Problem> {
    admission::read(headers, body, ingress.body, DOMAIN).await
}

fn check_method(route: &Route, method: &Method) -> Result<(), Problem> {
    let allowed = &route.plugin.manifest().ingress.methods;
    if allowed.iter().any(|name| name == method.as_str()) {
        return Ok(());
    }
    let list = allowed.join(", ");
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        DOMAIN,
        "method_not_allowed",
        format!("this connector takes {list}, not {method}"),
    );
    Err(match HeaderValue::from_str(&list) {
        Ok(list) => problem.with_header(header::ALLOW, list),
        Err(_) => problem,
    })
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
    let accepted = commit(ingress, route, entries, effects).instrument(trace::commit()).await?;
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

async fn commit(
    ingress: &Ingress,
    route: &Route,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
) -> Result<Vec<Accepted>, Problem> {
    let count = entries.len() as u64;
    let source = route.rules.connector.to_string();
    let accept =
        Accept { source, entries, effects, rate: Some(Arc::clone(&route.rate)), now_ms: ingress.clock.now_ms() };
    let outcome = ingress.store.write(accept).await;
    if matches!(outcome, Err(StoreError::Unavailable(_))) {
        // What was spent in a transaction that is not durable. Which events were new is lost with it.
        route.rate.give_back(count);
    }
    outcome?.map_err(|refused| self::refused(&route.rules.connector, refused))
}

fn denied(denied: Denied) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, DOMAIN, denied.code, denied.detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kheish-connector\""))
}

fn refused(id: &ConnectorId, refused: Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::TooFast(wait_ms) => {
            tracing::info!(connector = %id, wait_ms, "{id} is over ingress_events_per_second");
            let code = format!("{}_ingress_rate_limited", id.kind);
            Problem::too_many_requests(DOMAIN, code, format!("connector `{id}` is {detail}"), wait_ms)
        }
        Refused::Conflict => Problem::conflict(DOMAIN, CONFLICT, detail),
        Refused::UnknownSession(_) => Problem::conflict(DOMAIN, "session_not_found", detail),
        Refused::Unplaced(Unplaced::Conflict { .. }) => Problem::conflict(DOMAIN, "binding_conflict", detail),
        Refused::Unplaced(Unplaced::Unresolved) => Problem::bad_request(DOMAIN, "session_unresolved", detail),
        Refused::UnknownAsset(_) => Problem::bad_request(DOMAIN, "asset_not_found", detail),
    }
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
