//! `/v1/runs/claim` and what follows: how programs elsewhere perform runs.
//!
//! The epoch of a claim is its fence. Whoever holds an older one has lost the lease, gets 409 `lease_lost`, and has
//! changed nothing.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api,
    runs::{not_found, parse},
};
use crate::{
    executor::ExecutorKind,
    model::{ids::RunId, output::Output, run::RunError},
    outputs::{
        append::{Append, Appended, MAX_OUTPUTS},
        finish::{End, Finish, Finished},
    },
    queue::{
        claim::{Claim, ClaimedRun},
        hold::{Heartbeat, Held},
    },
    store::runs::{self, Fence},
    wire::{extract, problem::Problem, view::RunView},
};

/// Leases that a worker may ask for, in milliseconds.
const LEASE_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
/// The longest wait of a claim, in milliseconds.
const MAX_WAIT_MS: u64 = 60_000;
/// The most runs of one claim.
const MAX_RUNS: i64 = 64;

/// Asks for work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimBody {
    worker_id: String,
    max_runs: Option<i64>,
    lease_ms: Option<i64>,
    wait_ms: Option<u64>,
}

/// A run and the lease under which it was given.
#[derive(Debug, Serialize)]
pub struct Leased {
    #[serde(flatten)]
    run: RunView,
    lease: Lease,
}

#[derive(Debug, Serialize)]
struct Lease {
    epoch: i64,
    expires_at_ms: i64,
}

/// Leases waiting runs; with `wait_ms` the answer is held back until there is one or the time is over.
pub async fn claim(
    State(api): State<Api>,
    extract::Json(body): extract::Json<ClaimBody>,
) -> Result<Json<Value>, Problem> {
    if api.executor != ExecutorKind::Claim {
        let detail = "this daemon performs runs itself: start it with --executor claim";
        return Err(Problem::conflict("runs", "executor_not_claim", detail));
    }
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
    let owner = format!("worker:{}", body.worker_id);
    let claimed = claim_within(&api, Claim { owner, limit, lease_ms, now_ms: 0 }, wait_ms).await?;
    let mut leased = Vec::with_capacity(claimed.len());
    for ClaimedRun { run, lease_until_ms } in claimed {
        let lease = Lease { epoch: run.epoch, expires_at_ms: lease_until_ms };
        leased.push(Leased { run: RunView::load(&api.store, run).await?, lease });
    }
    Ok(Json(json!({ "runs": leased })))
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

/// Keeps a lease.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatBody {
    epoch: i64,
    lease_ms: Option<i64>,
}

/// Moves the end of the lease.
pub async fn heartbeat(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<HeartbeatBody>,
) -> Result<Json<Value>, Problem> {
    let fence = fence(&api, &id, body.epoch).await?;
    let until_ms = api.clock.now_ms() + lease_ms(&api, body.lease_ms)?;
    match api.store.write(Heartbeat { fence, until_ms }).await? {
        Held::Until(expires_at_ms) => Ok(Json(json!({ "expires_at_ms": expires_at_ms }))),
        Held::Lost => Err(lost(&id, body.epoch)),
    }
}

/// Says something before the end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputsBody {
    epoch: i64,
    outputs: Vec<Output>,
}

/// Stores outputs; they are delivered when the run ends well.
pub async fn outputs(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<OutputsBody>,
) -> Result<Json<Value>, Problem> {
    let fence = fence(&api, &id, body.epoch).await?;
    match api.store.write(Append { fence, outputs: body.outputs, now_ms: api.clock.now_ms() }).await? {
        Appended::Total(total) => Ok(Json(json!({ "outputs": total }))),
        Appended::Lost => Err(lost(&id, body.epoch)),
        Appended::TooMany => Err(too_many()),
    }
}

/// Ends a run well.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishBody {
    epoch: i64,
    #[serde(default)]
    outputs: Vec<Output>,
}

/// Completes the run. The same call again changes nothing and answers the same.
pub async fn finish(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<FinishBody>,
) -> Result<Json<RunView>, Problem> {
    end(&api, &id, body.epoch, End::Completed(body.outputs)).await
}

/// Ends a run badly.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailBody {
    epoch: i64,
    code: String,
    reason: String,
    #[serde(default)]
    retry: bool,
}

/// Fails the run, or puts it back to the front of its session. The last attempt that the settings allow always fails.
pub async fn fail(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<FailBody>,
) -> Result<Json<RunView>, Problem> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=64).contains(&body.code.len()) || !body.code.bytes().all(plain) {
        return Err(invalid("code", "1 to 64 of a-z, 0-9 and _"));
    }
    let error = RunError { code: body.code, detail: body.reason.chars().take(2_000).collect() };
    let attempt = runs::get(&api.store, parse(&id)?).await?.map_or(0, |run| run.attempt);
    let again = body.retry && attempt < api.queue.max_attempts;
    end(&api, &id, body.epoch, if again { End::Retry } else { End::Failed(error) }).await
}

async fn end(api: &Api, id: &str, epoch: i64, end: End) -> Result<Json<RunView>, Problem> {
    let fence = fence(api, id, epoch).await?;
    match api.store.write(Finish { fence, end, clock: api.clock.clone() }).await? {
        Finished::Done(run) => {
            let run = runs::get(&api.store, run).await?.ok_or_else(|| not_found(id))?;
            Ok(Json(RunView::load(&api.store, run).await?))
        }
        Finished::Lost => Err(lost(id, epoch)),
        Finished::TooMany => Err(too_many()),
    }
}

/// A fence for a run that exists; whether it still holds is for the transaction to say.
async fn fence(api: &Api, id: &str, epoch: i64) -> Result<Fence, Problem> {
    let run: RunId = parse(id)?;
    runs::get(&api.store, run).await?.ok_or_else(|| not_found(id))?;
    Ok(Fence { run, epoch })
}

fn lease_ms(api: &Api, asked: Option<i64>) -> Result<i64, Problem> {
    let lease_ms = asked.unwrap_or(api.queue.default_lease_ms);
    if LEASE_MS.contains(&lease_ms) { Ok(lease_ms) } else { Err(invalid("lease_ms", "100 to 3600000")) }
}

fn lost(id: &str, epoch: i64) -> Problem {
    let detail =
        format!("the lease of `{id}` at epoch {epoch} is over: drop the work, the run has ended or is somebody else's");
    Problem::conflict("runs", "lease_lost", detail)
}

fn too_many() -> Problem {
    Problem::conflict("runs", "too_many_outputs", format!("a run says at most {MAX_OUTPUTS} outputs"))
}

fn invalid(field: &str, expected: &str) -> Problem {
    Problem::bad_request("runs", "invalid_payload", format!("`{field}`: expected {expected}"))
}
