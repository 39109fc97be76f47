//! The way in that all public routes of connectors share: which connector, whether the caller may, the body within bounds,
//! and what is counted and told of how it ended. Then the way into the store.
//!
//! Order matters: who calls is settled from the head before a body is read, and from the body's bytes before anything
//! parses them. A refusal at any step leaves no receipt, no run and no spent rate token.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::Request as HttpRequest,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::Response as HttpResponse,
};
use bytes::Bytes;

use super::{
    accept::{Accept, Accepted, Entry, Refused},
    admission, counted,
    http::Ingress,
    routes::Route,
    verify::{Denied, Head},
};
use crate::{
    connectors::Effect, model::ids::ConnectorId, sessions::placement::Unplaced, store::StoreError, telemetry::trace,
    wire::problem::Problem,
};

/// The zone of these routes, in problem documents.
pub const DOMAIN: &str = "connector_ingress";

/// The code of a key that was used for another payload.
pub const CONFLICT: &str = "idempotency_conflict";

/// Says whether an answer is to a new event, to one that was accepted before, or to one that is not taken.
pub static RECEIPT: HeaderName = HeaderName::from_static("kheish-receipt");

/// A request that is whole, and whose head has passed.
pub struct Admitted {
    /// Its head.
    pub parts: Parts,
    /// What the head has shown.
    pub head: Head,
    /// Path and query as received.
    pub target: String,
    /// Its body, not yet held against the head.
    pub bytes: Bytes,
    /// When its head was read, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Admitted {
    /// The body, held against the head, and the name of the recipe that authenticated the caller.
    pub fn verified(&self, route: &Route) -> Result<(Bytes, Option<String>), Problem> {
        let checked = trace::verify().in_scope(|| route.verifier.check_body(&self.head, &self.bytes));
        Ok((self.bytes.clone(), checked.map_err(denied)?))
    }
}

/// Lets a request in, and hands it to `work`.
pub async fn answer(
    ingress: &Ingress,
    id: ConnectorId,
    uri: &Uri,
    request: HttpRequest,
    work: impl AsyncFnOnce(Arc<Route>, Admitted) -> Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    let Some(route) = ingress.routes.find(&id) else {
        ingress.store.metrics().count_unknown_connector();
        return Err(Problem::not_found(DOMAIN, "connector_not_found", format!("there is no connector `{id}`")));
    };
    let started = Instant::now();
    let answer = match admit(ingress, &route, uri, request).await {
        Ok(admitted) => work(Arc::clone(&route), admitted).await,
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
    let bytes = admission::read(&parts.headers, body, ingress.body, DOMAIN).await?;
    Ok(Admitted { target: target.to_owned(), parts, head, bytes, now_ms })
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

/// Events to make durable together, with what they spend.
pub fn command(ingress: &Ingress, route: &Route, entries: Vec<Entry>, effects: Vec<Effect>) -> Accept {
    let (source, now_ms) = (route.rules.connector.to_string(), ingress.clock.now_ms());
    Accept { source, entries, effects, rate: Some(Arc::clone(&route.rate)), now_ms }
}

/// Gives back what so many events spent in a transaction that is not durable. Which of them were new is lost with it.
pub fn give_back<T>(route: &Route, outcome: &Result<T, StoreError>, events: usize) {
    if matches!(outcome, Err(StoreError::Unavailable(_))) {
        route.rate.give_back(events as u64);
    }
}

/// Makes events durable, all or none.
pub async fn commit(
    ingress: &Ingress,
    route: &Route,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
) -> Result<Result<Vec<Accepted>, Refused>, StoreError> {
    let count = entries.len();
    let outcome = ingress.store.write(command(ingress, route, entries, effects)).await;
    give_back(route, &outcome, count);
    outcome
}

/// Lets somebody in who sends no body and shows a secret of the connector; an open connector lets nobody in this way.
pub fn recognise(
    route: &Route,
    (method, target): (&str, &str),
    headers: &HeaderMap,
    now_ms: i64,
) -> Result<(), Problem> {
    if route.verifier.is_open() {
        let detail = format!("connector `{}` has no secret that a caller could show", route.rules.connector);
        return Err(denied(Denied { code: "missing_token", detail }));
    }
    let head = route.verifier.check_head(method, target, headers, now_ms).map_err(denied)?;
    route.verifier.check_body(&head, &[]).map(drop).map_err(denied)
}

fn denied(denied: Denied) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, DOMAIN, denied.code, denied.detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kheish-connector\""))
}

/// What the caller hears of events that were not accepted.
pub fn refused(id: &ConnectorId, refused: &Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::TooFast(wait_ms) => {
            tracing::info!(connector = %id, wait_ms, "{id} is over ingress_events_per_second");
            let code = format!("{}_ingress_rate_limited", id.kind);
            Problem::too_many_requests(DOMAIN, code, format!("connector `{id}` is {detail}"), *wait_ms)
        }
        Refused::Conflict(_) => Problem::conflict(DOMAIN, CONFLICT, detail),
        Refused::UnknownSession(_) => Problem::conflict(DOMAIN, "session_not_found", detail),
        Refused::Unplaced(Unplaced::Conflict { .. }) => Problem::conflict(DOMAIN, "binding_conflict", detail),
        Refused::Unplaced(Unplaced::Unresolved) => Problem::bad_request(DOMAIN, "session_unresolved", detail),
        Refused::UnknownAsset(_) => Problem::bad_request(DOMAIN, "asset_not_found", detail),
    }
}
