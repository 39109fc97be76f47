//! What sidecars send: `POST …/events` and `…/events/batch` (contract section 4.4).
//!
//! Events of a batch are independent: each is a command of its own, and all of them go to the writer together, so that one
//! commit carries them. An event that cannot be taken for what it is gets `rejected` in an answer with 200, as sidecars
//! expect; a header, the metrics and the event streams tell of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, Path, Request as HttpRequest, State, rejection::PathRejection},
    http::HeaderValue,
    response::{IntoResponse, Response as HttpResponse},
    routing::any,
};
use tracing::Instrument as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{External, KIND};
use crate::{
    ingress::{
        document::OtherAnswers,
        door::{self, Admitted, DOMAIN, RECEIPT},
        http::Ingress,
        routes::Route,
    },
    model::ids::ConnectorId,
    telemetry::trace,
    wire::problem::Problem,
};

mod decide;
mod entry;
mod identity;
mod payload;
mod result;

use decide::{Bridge, Decided};
use payload::{Batch, ExternalEvent, Read};
use result::{BatchResult, EventResult};

/// What the routes need.
#[derive(Clone)]
pub struct Sidecars {
    /// The way into the store.
    pub ingress: Ingress,
    /// The kind.
    pub external: Arc<External>,
}

/// The routes. They stand beside that of all connectors and are more exact.
pub fn router(sidecars: Sidecars) -> OpenApiRouter {
    let (schemas, paths, _) = routes!(receive_one);
    let (batch_schemas, batch_paths, _) = routes!(receive_batch);
    OpenApiRouter::default()
        .routes((schemas, paths, any(receive_one)))
        .routes((batch_schemas, batch_paths, any(receive_batch)))
        .with_state(sidecars)
}

/// Takes an event of a sidecar.
///
/// An event that cannot be taken for what it is gets 200 and `rejected` with its reason, and `Kheish-Receipt: rejected`.
#[utoipa::path(
    post,
    path = "/v1/connectors/external/{name}/events",
    operation_id = "receive_external_event",
    tag = "ingress",
    params(("name" = String, Path, description = "The connector's name")),
    request_body = ExternalEvent,
    responses(
        (status = 200, description = "The event is durable, or is not taken", body = EventResult,
            headers(("Kheish-Receipt" = String, description = "`accepted`, `duplicate` or `rejected`"))),
        OtherAnswers,
    )
)]
async fn receive_one(
    State(sidecars): State<Sidecars>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let work = async |route: Arc<Route>, admitted| take_one(&sidecars, &route, admitted).await;
    door::answer(&sidecars.ingress, connector(name), &uri, request, work).await
}

/// Takes events of a sidecar together.
///
/// Each event has a result of its own, in their order: also `rate_limited`, which is to be sent again, and `error`, whose
/// `retryable` says whether that helps.
#[utoipa::path(
    post,
    path = "/v1/connectors/external/{name}/events/batch",
    operation_id = "receive_external_events",
    tag = "ingress",
    params(("name" = String, Path, description = "The connector's name")),
    request_body = Batch,
    responses((status = 200, description = "What became of each event", body = BatchResult), OtherAnswers)
)]
async fn receive_batch(
    State(sidecars): State<Sidecars>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let work = async |route: Arc<Route>, admitted| take_batch(&sidecars, &route, admitted).await;
    door::answer(&sidecars.ingress, connector(name), &uri, request, work).await
}

/// A name that is no text is nobody's.
fn connector(name: Result<Path<String>, PathRejection>) -> ConnectorId {
    ConnectorId { kind: KIND.to_owned(), name: name.map(|Path(name)| name).unwrap_or_default() }
}

async fn take_one(sidecars: &Sidecars, route: &Route, admitted: Admitted) -> Result<HttpResponse, Problem> {
    let run = sidecars.ingress.clock.run_id();
    let span = trace::ingress(KIND, run);
    let connector = &route.rules.connector;
    let work = async {
        let (bytes, _) = admitted.verified(route)?;
        let mut bridge = Bridge::new(sidecars, route)?;
        let read = Read::one(&bytes).map_err(undecodable)?;
        let id = read.event_id();
        let mut decided = bridge.decide(vec![(read, run)]).await?;
        let decided = decided.pop().unwrap_or_else(|| Decided::Rejected("it was not looked at".to_owned(), None));
        bridge.note(std::slice::from_ref(&decided));
        match decided {
            Decided::Limited(refused) | Decided::Refused(refused) => Err(door::refused(connector, &refused)),
            Decided::Failed(error) => Err(error.into()),
            decided => {
                let mut results = result::of(&sidecars.ingress.store, connector, vec![(id, decided)]).await?;
                Ok(results.pop())
            }
        }
    };
    let answer: Result<Option<EventResult>, Problem> = work.instrument(span.clone()).await;
    if answer.as_ref().is_err_and(|problem| problem.status().is_server_error()) {
        span.in_scope(trace::went_wrong);
    }
    Ok(match answer? {
        Some(result) => ([(RECEIPT.clone(), HeaderValue::from_static(result.status()))], Json(result)).into_response(),
        None => Json(()).into_response(),
    })
}

async fn take_batch(sidecars: &Sidecars, route: &Route, admitted: Admitted) -> Result<HttpResponse, Problem> {
    let clock = &sidecars.ingress.clock;
    let first = clock.run_id();
    let span = trace::ingress(KIND, first);
    let work = async {
        let (bytes, _) = admitted.verified(route)?;
        let mut bridge = Bridge::new(sidecars, route)?;
        let items = Read::batch(&bytes, bridge.bounds().batch_events).map_err(undecodable)?;
        let ids: Vec<Option<String>> = items.iter().map(Read::event_id).collect();
        let runs = std::iter::once(first).chain(std::iter::repeat_with(|| clock.run_id()));
        let decided = bridge.decide(items.into_iter().zip(runs).collect()).await?;
        bridge.note(&decided);
        bridge.tell(&decided);
        let decided = ids.into_iter().zip(decided).collect();
        result::of(&sidecars.ingress.store, &route.rules.connector, decided).await.map_err(Problem::from)
    };
    let results: Vec<EventResult> = work.instrument(span).await?;
    Ok(Json(BatchResult { results }).into_response())
}

fn undecodable((code, detail): (&'static str, String)) -> Problem {
    Problem::bad_request(DOMAIN, code, detail)
}
