//! Many dead letters at once: what is chosen by filters is shown by a dry run, and then done.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DOMAIN, act::reason};
use crate::{
    api::{
        Api,
        auth::change::Touched,
        page::{cursor_behind, id_in},
        runs::{parse, session_filter},
    },
    delivery::operate::{
        close::{Close, End},
        replay::{Replay, Replayed},
    },
    model::{delivery::DeliveryState, ids::DeliveryId},
    store::deliveries::read::{self, DeliveryFilter, StoredDelivery},
    wire::{delivery_view::DeliveryView, extract, problem::Problem},
};

/// Dead letters of one call when none says how many, and the most.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 500;

/// What was chosen.
struct Chosen {
    limit: i64,
    matched: i64,
    sources: Vec<StoredDelivery>,
    /// Where the next call goes on.
    next_cursor: Option<String>,
}

impl Chosen {
    async fn of(api: &Api, limit: Option<i64>, filter: DeliveryFilter) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let filter = DeliveryFilter { state: Some(DeliveryState::DeadLettered), ..filter };
        let matched = read::count(&api.store, &filter).await?;
        // One more than wanted tells whether there are more.
        let mut sources = read::list(&api.store, &filter, limit + 1).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = sources.len() > wanted;
        sources.truncate(wanted);
        let next_cursor = sources.last().filter(|_| has_more).map(|last| cursor_behind(&last.id));
        Ok(Self { limit, matched, sources, next_cursor })
    }
}

/// Those of a session, a run and a plugin, from a cursor on.
fn narrowed([session, run, plugin]: [Option<&str>; 3], cursor: Option<&str>) -> Result<DeliveryFilter, Problem> {
    Ok(DeliveryFilter {
        session: session.map(session_filter).transpose()?,
        run: run.map(parse).transpose()?,
        plugin: plugin.map(str::to_owned),
        after: cursor.map(id_in).transpose()?,
        ..DeliveryFilter::default()
    })
}

/// Which dead letters to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplaySelection)]
pub struct ReplayBody {
    session_id: Option<String>,
    run_id: Option<String>,
    plugin: Option<String>,
    /// 100 when absent, at most 500.
    limit: Option<i64>,
    /// Where the last call ended: its `next_cursor`.
    cursor: Option<String>,
    /// Looks and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// As for a single replay.
    #[serde(default)]
    force: bool,
    /// Leaves out what was resolved; true when absent.
    unresolved_only: Option<bool>,
}

/// What was replayed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkReplay)]
pub struct ReplayedView {
    dry_run: bool,
    force: bool,
    unresolved_only: bool,
    limit: i64,
    /// Dead letters that match, wherever `cursor` goes on.
    matched: i64,
    /// Those of them within the limit.
    selected: usize,
    replayed: usize,
    existing_replays: usize,
    /// Whether more match behind those that were selected.
    truncated: bool,
    /// The `cursor` of the call that goes on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    items: Vec<ReplayedItem>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkReplayItem)]
struct ReplayedItem {
    replayed_from_delivery_id: DeliveryId,
    source: DeliveryView,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replay: Option<DeliveryView>,
    action: ReplayAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReplayAction {
    WouldReplay,
    Replayed,
    ExistingReplay,
    /// Parts of it are undecided, or it changed meanwhile.
    Skipped,
}

/// Replay dead letters.
#[utoipa::path(
    post, path = "/v1/deliveries/replay-bulk", operation_id = "replay_deliveries", tag = "deliveries",
    request_body = ReplayBody,
    responses(
        (status = 200, description = "What was chosen, and what became of it", body = ReplayedView),
        (status = 400, description = "invalid_session_id, invalid_cursor"),
        (status = 404, description = "run_not_found"),
    ),
)]
pub async fn replay(
    State(api): State<Api>,
    extract::Json(body): extract::Json<ReplayBody>,
) -> Result<(Extension<Touched>, Json<ReplayedView>), Problem> {
    let unresolved_only = body.unresolved_only.unwrap_or(true);
    let which = [&body.session_id, &body.run_id, &body.plugin].map(Option::as_deref);
    let filter = narrowed(which, body.cursor.as_deref())?;
    let chosen = Chosen::of(&api, body.limit, DeliveryFilter { unresolved: unresolved_only, ..filter }).await?;
    let mut items = Vec::with_capacity(chosen.sources.len());
    let mut touched = Vec::new();
    for source in &chosen.sources {
        let (action, replay) = replay_one(&api, &body, source.id).await?;
        let replay = match replay {
            Some(id) => read::get(&api.store, id).await?,
            None => None,
        };
        if action == ReplayAction::Replayed {
            touched.extend(replay.iter().map(|replay| replay.id));
        }
        let replay = replay.as_ref().map(DeliveryView::from);
        items.push(ReplayedItem { replayed_from_delivery_id: source.id, source: source.into(), replay, action });
    }
    let count = |wanted| items.iter().filter(|item| item.action == wanted).count();
    let view = ReplayedView {
        dry_run: body.dry_run,
        force: body.force,
        unresolved_only,
        limit: chosen.limit,
        matched: chosen.matched,
        selected: items.len(),
        replayed: count(ReplayAction::Replayed),
        existing_replays: count(ReplayAction::ExistingReplay),
        truncated: chosen.next_cursor.is_some(),
        next_cursor: chosen.next_cursor,
        items,
    };
    Ok((Touched::deliveries(touched), Json(view)))
}

async fn replay_one(
    api: &Api,
    body: &ReplayBody,
    id: DeliveryId,
) -> Result<(ReplayAction, Option<DeliveryId>), Problem> {
    if body.dry_run {
        let existing = if body.force { None } else { read::replay_of(&api.store, id).await? };
        let action = if existing.is_some() { ReplayAction::ExistingReplay } else { ReplayAction::WouldReplay };
        return Ok((action, existing));
    }
    let replayed = api.store.write(Replay { id, force: body.force, clock: api.clock.clone() }).await?;
    Ok(match replayed {
        Ok(Replayed::New(id)) => (ReplayAction::Replayed, Some(id)),
        Ok(Replayed::Existing(id)) => (ReplayAction::ExistingReplay, Some(id)),
        Err(_) => (ReplayAction::Skipped, None),
    })
}

/// Which dead letters to resolve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResolveSelection)]
pub struct ResolveBody {
    session_id: Option<String>,
    run_id: Option<String>,
    plugin: Option<String>,
    /// 100 when absent, at most 500.
    limit: Option<i64>,
    /// Where the last call ended: its `next_cursor`.
    cursor: Option<String>,
    /// Looks and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// As for a single one.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Which dead letters to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PurgeSelection)]
pub struct PurgeBody {
    session_id: Option<String>,
    run_id: Option<String>,
    plugin: Option<String>,
    /// 100 when absent, at most 500.
    limit: Option<i64>,
    /// Where the last call ended: its `next_cursor`.
    cursor: Option<String>,
    /// Looks and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Also those that nobody resolved and that were given up so long ago, in milliseconds.
    #[schema(minimum = 0)]
    older_than_ms: Option<i64>,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkEnd)]
pub struct EndedView {
    dry_run: bool,
    limit: i64,
    /// Dead letters that match, wherever `cursor` goes on.
    matched: i64,
    /// Those of them within the limit.
    selected: usize,
    /// How many were resolved or removed.
    done: usize,
    /// Whether more match behind those that were selected.
    truncated: bool,
    /// The `cursor` of the call that goes on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    items: Vec<EndedItem>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkEndItem)]
struct EndedItem {
    delivery_id: DeliveryId,
    source: DeliveryView,
    action: EndAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EndAction {
    WouldResolve,
    Resolved,
    WouldPurge,
    Purged,
    /// It changed meanwhile.
    Skipped,
}

/// Say that nothing is left to do about dead letters.
#[utoipa::path(
    post, path = "/v1/deliveries/resolve-bulk", operation_id = "resolve_deliveries", tag = "deliveries",
    request_body = ResolveBody,
    responses(
        (status = 200, description = "What was chosen, and what became of it", body = EndedView),
        (status = 400, description = "invalid_session_id, invalid_cursor, text_too_long"),
        (status = 404, description = "run_not_found"),
    ),
)]
pub async fn resolve(
    State(api): State<Api>,
    extract::Json(body): extract::Json<ResolveBody>,
) -> Result<(Extension<Touched>, Json<EndedView>), Problem> {
    let end = End::Resolve(reason(body.reason)?);
    let which = [&body.session_id, &body.run_id, &body.plugin].map(Option::as_deref);
    let filter = narrowed(which, body.cursor.as_deref())?;
    let chosen = Chosen::of(&api, body.limit, DeliveryFilter { unresolved: true, ..filter }).await?;
    end_all(&api, chosen, &end, body.dry_run).await
}

/// Remove dead letters that are resolved, or old enough, with their recorded attempts.
#[utoipa::path(
    post, path = "/v1/deliveries/purge", operation_id = "purge_deliveries", tag = "deliveries",
    request_body = PurgeBody,
    responses(
        (status = 200, description = "What was chosen, and what became of it", body = EndedView),
        (status = 400, description = "invalid_session_id, invalid_cursor, invalid_age"),
        (status = 404, description = "run_not_found"),
    ),
)]
pub async fn purge(
    State(api): State<Api>,
    extract::Json(body): extract::Json<PurgeBody>,
) -> Result<(Extension<Touched>, Json<EndedView>), Problem> {
    if body.older_than_ms.is_some_and(|age| age < 0) {
        return Err(Problem::bad_request(DOMAIN, "invalid_age", "older_than_ms is below 0; give milliseconds"));
    }
    // Without an age only what was resolved: nothing ended before 1970.
    let done_by_ms = body.older_than_ms.map_or(-1, |age| api.clock.now_ms().saturating_sub(age));
    let which = [&body.session_id, &body.run_id, &body.plugin].map(Option::as_deref);
    let filter = narrowed(which, body.cursor.as_deref())?;
    let chosen = Chosen::of(&api, body.limit, DeliveryFilter { done_by_ms: Some(done_by_ms), ..filter }).await?;
    end_all(&api, chosen, &End::Purge, body.dry_run).await
}

async fn end_all(
    api: &Api,
    chosen: Chosen,
    end: &End,
    dry_run: bool,
) -> Result<(Extension<Touched>, Json<EndedView>), Problem> {
    let (would, did) = match end {
        End::Purge => (EndAction::WouldPurge, EndAction::Purged),
        End::Resolve(_) | End::Cancel => (EndAction::WouldResolve, EndAction::Resolved),
    };
    let Chosen { limit, matched, sources, next_cursor } = chosen;
    let mut items = Vec::with_capacity(sources.len());
    for source in &sources {
        let action = if dry_run {
            would
        } else {
            let close = Close { id: source.id, end: end.clone(), now_ms: api.clock.now_ms() };
            api.store.write(close).await?.map_or(EndAction::Skipped, |()| did)
        };
        items.push(EndedItem { delivery_id: source.id, source: source.into(), action });
    }
    let done: Vec<DeliveryId> = items.iter().filter(|item| item.action == did).map(|item| item.delivery_id).collect();
    let selected = items.len();
    let (truncated, done_count) = (next_cursor.is_some(), done.len());
    let view = EndedView { dry_run, limit, matched, selected, done: done_count, truncated, next_cursor, items };
    Ok((Touched::deliveries(done), Json(view)))
}
