//! `/v1/…/stream`: what happens, as server-sent events (contract section 1.10).
//!
//! A stream is a reader of the event log with a cursor of its own. Nothing is buffered for it: one that is slow reads
//! later, and one that comes back says what it saw last.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Api, runs, sessions};
use crate::{
    config::events::EventSettings,
    model::ids::SessionId,
    store::{Store, events::EventFilter, runs as run_rows, sessions as session_rows},
    wire::{extract, problem::Problem},
};

mod cursor;
mod follow;
mod frame;

use follow::Follower;

const DOMAIN: &str = "events";

/// How many streams there may be, and how they behave.
pub struct Streams {
    settings: EventSettings,
    places: Arc<Semaphore>,
}

impl Streams {
    /// Streams under these limits.
    pub fn new(settings: EventSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.streams.min(Semaphore::MAX_PERMITS)));
        Self { settings, places }
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.settings.heartbeat_ms.max(1))
    }
}

/// Where a stream goes on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CursorQuery {
    /// The id of the last event that was seen, in decimal; 0 asks for everything that is kept. The header `Last-Event-ID`
    /// says the same, and the larger of the two counts. Without either the stream begins now.
    cursor: Option<String>,
}

/// Where a stream goes on, and what narrows it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// The id of the last event that was seen, in decimal; 0 asks for everything that is kept. The header `Last-Event-ID`
    /// says the same, and the larger of the two counts. Without either the stream begins now.
    cursor: Option<String>,
    /// Only this session's.
    session_id: Option<String>,
    /// Only this run's.
    run_id: Option<String>,
}

/// Everything that happens.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    operation_id = "stream_events",
    tag = "events",
    params(StreamQuery),
    responses(
        (status = 200, description = "events, for as long as both sides go on", content_type = "text/event-stream", body = String),
        (status = 400, description = "invalid_event_cursor, invalid_session_id, invalid_run_id"),
        (status = 503, description = "too_many_streams"),
    )
)]
pub async fn all(
    State(api): State<Api>,
    headers: HeaderMap,
    extract::Query(query): extract::Query<StreamQuery>,
) -> Result<Response, Problem> {
    let session = query.session_id.as_deref().map(runs::session_filter).transpose()?;
    let invalid = |id: &str| Problem::bad_request("runs", "invalid_run_id", format!("`{id}` is not the id of a run"));
    let run = query.run_id.as_deref().map(|id| id.parse().map_err(|_| invalid(id))).transpose()?;
    open(&api, &headers, query.cursor.as_deref(), EventFilter { session, run })
}

/// What happens in a session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/stream",
    operation_id = "stream_session",
    tag = "events",
    params(("id" = String, Path, description = "the session"), CursorQuery),
    responses(
        (status = 200, description = "events, for as long as both sides go on", content_type = "text/event-stream", body = String),
        (status = 400, description = "invalid_event_cursor"),
        (status = 404, description = "session_not_found"),
        (status = 503, description = "too_many_streams"),
    )
)]
pub async fn of_session(
    State(api): State<Api>,
    headers: HeaderMap,
    extract::Path(id): extract::Path<String>,
    extract::Query(query): extract::Query<CursorQuery>,
) -> Result<Response, Problem> {
    let missing = || sessions::not_found(&id);
    let session = SessionId::parse(&id).map_err(|_| missing())?;
    session_rows::get(&api.store, &session).await?.ok_or_else(missing)?;
    open(&api, &headers, query.cursor.as_deref(), EventFilter { session: Some(session), run: None })
}

/// What happens in a run and its deliveries. The stream stays open when they have ended.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/stream",
    operation_id = "stream_run",
    tag = "events",
    params(("id" = String, Path, description = "the run"), CursorQuery),
    responses(
        (status = 200, description = "events, for as long as both sides go on", content_type = "text/event-stream", body = String),
        (status = 400, description = "invalid_event_cursor"),
        (status = 404, description = "run_not_found"),
        (status = 503, description = "too_many_streams"),
    )
)]
pub async fn of_run(
    State(api): State<Api>,
    headers: HeaderMap,
    extract::Path(id): extract::Path<String>,
    extract::Query(query): extract::Query<CursorQuery>,
) -> Result<Response, Problem> {
    let run = runs::parse(&id)?;
    run_rows::get(&api.store, run).await?.ok_or_else(|| runs::not_found(&id))?;
    open(&api, &headers, query.cursor.as_deref(), EventFilter { session: None, run: Some(run) })
}

fn open(api: &Api, headers: &HeaderMap, cursor: Option<&str>, filter: EventFilter) -> Result<Response, Problem> {
    let newest = *api.store.newest_event().borrow();
    let cursor = cursor::begin(headers, cursor, newest)?;
    let streams = &api.streams;
    let place = Arc::clone(&streams.places).try_acquire_owned().map_err(|_| {
        tracing::warn!(streams = streams.settings.streams, "all of events.streams are open; a reader was sent away");
        let detail = format!("{} streams are open: close one, or try again", streams.settings.streams);
        Problem::unavailable(DOMAIN, "too_many_streams", detail)
    })?;
    let follower = Follower::new(api, cursor, newest, filter);
    let open = Open::new(&api.store, place);
    let chunks = stream::unfold((follower, open), |(mut follower, open)| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), (follower, open)))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store"), (frame::UNBUFFERED, "no")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// A stream that is open: its place, and its part in the count.
struct Open {
    gauge: IntGauge,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(store: &Store, place: OwnedSemaphorePermit) -> Self {
        let gauge = store.metrics().gauges.event_streams.clone();
        gauge.inc();
        Self { gauge, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
