//! `/v1/runs/claim`: work for those who ask.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::{invalid, lease_ms};
use crate::{
    api::Api,
    model::roster::ExecutorKind,
    queue::claim::{self, Claim, ClaimedRun},
    telemetry::trace,
    wire::{extract, problem::Problem, view::RunView},
};

/// The longest wait of a claim, in milliseconds.
const MAX_WAIT_MS: u64 = 60_000;
/// The most runs of one claim.
const MAX_RUNS: i64 = 64;

/// Asks for work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimBody {
    /// Who asks: at most 128 bytes without control characters.
    #[schema(min_length = 1, max_length = 128)]
    worker_id: String,
    /// Whose runs: the name of an executor of the type `claim`. The default executor when absent.
    executor: Option<String>,
    /// 1 when absent.
    #[schema(minimum = 1, maximum = 64)]
    max_runs: Option<i64>,
    /// `queue.default_lease_ms` when absent.
    #[schema(minimum = 100, maximum = 3_600_000)]
    lease_ms: Option<i64>,
    /// 0 when absent.
    #[schema(maximum = 60_000)]
    wait_ms: Option<u64>,
}

/// What a worker got.
#[derive(Debug, Serialize, ToSchema)]
pub struct Claimed {
    runs: Vec<Leased>,
}

/// A run and the lease under which it was given.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LeasedRun)]
pub struct Leased {
    #[serde(flatten)]
    run: RunView,
    lease: Lease,
}

#[derive(Debug, Serialize, ToSchema)]
struct Lease {
    /// The fence: every later call about the run names it.
    epoch: i64,
    expires_at_ms: i64,
}

/// Leases waiting runs; with `wait_ms` the answer is held back until there is one or the time is over.
#[utoipa::path(
    post,
    path = "/v1/runs/claim",
    operation_id = "claim_runs",
    tag = "work",
    request_body = ClaimBody,
    responses(
        (status = 200, description = "The runs; none when there is no work", body = Claimed),
        (status = 400, description = "executor_unknown"),
        (status = 409, description = "executor_not_claim"),
    )
)]
pub async fn claim(
    State(api): State<Api>,
    extract::Json(body): extract::Json<ClaimBody>,
) -> Result<Json<Claimed>, Problem> {
    let executors = served(&api, body.executor.as_deref())?;
    if !(1..=128).contains(&body.worker_id.len()) || body.worker_id.chars().any(char::is_control) {
        return Err(invalid("worker_id", "1 to 128 bytes without control characters"));
    }
    let limit = body.max_runs.unwrap_or(1);
    if !(1..=MAX_RUNS).contains(&limit) {
        return Err(invalid("max_runs", "1 to 64"));
    }
    let wait_ms = body.wait_ms.unwrap_or(0);
    if wait_ms > MAX_WAIT_MS {
        return Err(invalid("wait_ms", "0 to 60000"));
    }
    let lease_ms = lease_ms(&api, body.lease_ms)?;
    api.health.asked(body.executor.as_deref().unwrap_or(api.executors.default_name()), api.clock.now_ms());
    let owner = format!("worker:{}", body.worker_id);
    let claimed = claim_within(&api, Claim { owner, executors, limit, lease_ms, now_ms: 0 }, wait_ms).await?;
    let mut leased = Vec::with_capacity(claimed.len());
    for ClaimedRun { run, lease_until_ms } in claimed {
        let lease = Lease { epoch: run.epoch, expires_at_ms: lease_until_ms };
        claim::count_start(&api.store, &run);
        let span = trace::claim(run.id);
        leased.push(Leased { run: RunView::load(&api.store, run).instrument(span).await?, lease });
    }
    Ok(Json(Claimed { runs: leased }))
}

/// What the sessions have as executor that a claim is for.
fn served(api: &Api, asked: Option<&str>) -> Result<Vec<String>, Problem> {
    let name = asked.unwrap_or(api.executors.default_name());
    api.executors.check(name).map_err(|unknown| Problem::bad_request("runs", "executor_unknown", unknown))?;
    if api.executors.kind(name) == Some(ExecutorKind::Claim) {
        return Ok(api.executors.served_by(name));
    }
    let claimable = api.executors.all().filter(|(_, kind)| *kind == ExecutorKind::Claim);
    let claimable: Vec<&str> = claimable.map(|(name, _)| name).collect();
    let detail = format!(
        "this daemon performs runs of the executor `{name}` itself: give `executor`, one of {}, or start it with --executor claim",
        claimable.join(", ")
    );
    Err(Problem::conflict("runs", "executor_not_claim", detail))
}

async fn claim_within(api: &Api, mut claim: Claim, wait_ms: u64) -> Result<Vec<ClaimedRun>, Problem> {
    let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
    let poll = Duration::from_millis(api.queue.poll_interval_ms);
    loop {
        let woken = api.store.wakes().runs.notified();
        tokio::pin!(woken);
        // Registered before looking, so that a wake-up in between is not lost.
        woken.as_mut().enable();
        claim.now_ms = api.clock.now_ms();
        let claimed = api.store.write(claim.clone()).await?;
        let now = tokio::time::Instant::now();
        if !claimed.is_empty() || now >= deadline || api.phase.is_draining() {
            return Ok(claimed);
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep_until(deadline.min(now + poll)) => {}
            () = api.phase.draining() => {}
        }
    }
}
