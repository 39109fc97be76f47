//! The public route of connectors: `/v1/connectors/{kind}/{name}` and below.
//!
//! Order matters: who calls is settled from the head before a body is read, and from the body's bytes before anything
//! parses them. A refusal at any step leaves no receipt, no run and no spent rate token.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{OriginalUri, Path, Request as HttpRequest, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response as HttpResponse},
    routing::any,
};

use super::{
    accept::{Accept, Accepted, Entry, Refused},
    admission::{self, BodyLimits},
    answer,
    prepare::prepare,
    routes::{Route, Routes},
    verify::Denied,
};
use crate::{
    clock::Clock,
    connectors::{Answer, Effect, Fault, Refusal, Request, Response},
    delivery::targets,
    model::{event::Event, ids::ConnectorId},
    sessions::placement::Unplaced,
    store::{Store, StoreError},
    wire::problem::Problem,
};

const DOMAIN: &str = "connector_ingress";

/// Says whether an answer is to a new event or to one that was accepted before.
static RECEIPT: HeaderName = HeaderName::from_static("kheish-receipt");

/// What the routes need.
#[derive(Clone)]
pub struct Ingress {
    /// Configured connectors.
    pub routes: Arc<Routes>,
    /// Rows.
    pub store: Store,
    /// Time and ids.
    pub clock: Clock,
    /// Bounds of a body.
    pub body: BodyLimits,
}

/// The public routes.
pub fn router(ingress: Ingress) -> Router {
    Router::new()
        .route("/v1/connectors/{kind}/{name}", any(receive))
        .route("/v1/connectors/{kind}/{name}/{*below}", any(receive))
        .with_state(ingress)
}

async fn receive(
    State(ingress): State<Ingress>,
    path: Result<Path<Vec<String>>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // A name that is no text is nobody's.
    let path = path.map_or_else(|_| Vec::new(), |Path(path)| path);
    let [kind, name] = [0, 1].map(|index| path.get(index).cloned().unwrap_or_default());
    // The store's own trouble is this zone's problem here.
    try_receive(&ingress, ConnectorId { kind, name }, &uri, request).await.map_err(|problem| problem.in_domain(DOMAIN))
}

async fn try_receive(
    ingress: &Ingress,
    id: ConnectorId,
    uri: &Uri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let Some(route) = ingress.routes.find(&id) else {
        return Err(Problem::not_found(DOMAIN, "connector_not_found", format!("there is no connector `{id}`")));
    };
    let (parts, body) = request.into_parts();
    check_method(&route, &parts.method)?;
    let now_ms = ingress.clock.now_ms();
    let head = route.verifier.check_head(parts.method.as_str(), target, &parts.headers, now_ms).map_err(denied)?;
    let bytes = read(ingress, &parts.headers, body).await?;
    let authenticated_by = route.verifier.check_body(&head, &bytes).map_err(denied)?;
    let call = Request {
        method: parts.method.as_str().to_owned(),
        subpath: subpath(target).to_owned(),
        target: target.to_owned(),
        headers: plain_headers(&route, &parts.headers),
        body: bytes,
        received_at_ms: u64::try_from(now_ms).unwrap_or(0),
        authenticated_by,
    };
    match route.plugin.receive(Arc::clone(&route.context), call).await.map_err(|fault| failed(&id, &fault))? {
        Answer::Accept { events, effects, response } => accept(ingress, &route, events, effects, response).await,
        Answer::Respond(response) => Ok(written(response)),
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
    ingress: &Ingress,
    route: &Route,
    events: Vec<Event>,
    effects: Vec<Effect>,
    response: Option<Response>,
) -> Result<HttpResponse, Problem> {
    let id = &route.rules.connector;
    let mut entries = Vec::with_capacity(events.len());
    for event in events {
        check_targets(&event)?;
        entries.push(prepare(&route.rules, event, &ingress.clock).map_err(|fault| failed(id, &fault))?);
    }
    let accepted = commit(ingress, route, entries, effects).await?;
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

fn check_targets(event: &Event) -> Result<(), Problem> {
    for target in &event.reply_targets {
        targets::check_untrusted(target)
            .map_err(|reason| Problem::bad_request(DOMAIN, "reply_target_invalid", reason))?;
    }
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
        Refused::Conflict => Problem::conflict(DOMAIN, "idempotency_conflict", detail),
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
        Fault::Memory { .. } | Fault::Trap(_) | Fault::Contract(_) => {
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
