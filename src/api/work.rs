//! `/v1/runs/claim` and what follows: how programs elsewhere perform runs.
//!
//! The epoch of a claim is its fence. Whoever holds an older one has lost the lease, gets 409 `lease_lost`, and has
//! changed nothing.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::ToSchema;

pub mod claim;

use super::{
    Api,
    auth::TokenEpoch,
    runs::{not_found, parse},
};
use crate::{
    metrics::label::RunOutcome,
    model::{
        ids::RunId,
        output::Output,
        run::{RunError, RunStatus},
    },
    outputs::{
        address::Desk,
        append::{Append, Appended, MAX_OUTPUTS},
        finish::{End, Finish, Finished},
    },
    queue::hold::{Heartbeat, Held},
    secrets::mask,
    store::runs::{self, Fence},
    telemetry::trace,
    wire::{extract, problem::Problem, view::RunView},
};

/// The most that is kept of why a run failed, in characters.
const REASON_CHARS: usize = 2_000;

/// Leases that a worker may ask for, in milliseconds.
const LEASE_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// Keeps a lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatBody {
    epoch: i64,
    /// `queue.default_lease_ms` when absent.
    #[schema(minimum = 100, maximum = 3_600_000)]
    lease_ms: Option<i64>,
}

/// How long a lease holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kept {
    expires_at_ms: i64,
    /// Somebody asked for the end of the run: stop the work, then call `finish` or `fail`. It ends as cancelled.
    cancelled: bool,
}

/// Moves the end of the lease.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/heartbeat",
    operation_id = "keep_run",
    tag = "work",
    params(("id" = String, Path, description = "The run's id")),
    request_body = HeartbeatBody,
    responses(
        (status = 200, description = "The lease holds", body = Kept),
        (status = 404, description = "run_not_found"),
        (status = 409, description = "lease_lost"),
    )
)]
pub async fn heartbeat(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    token: Option<Extension<TokenEpoch>>,
    extract::Json(body): extract::Json<HeartbeatBody>,
) -> Result<Json<Kept>, Problem> {
    check_token(&api, &id, body.epoch, token)?;
    let fence = fence(&api, &id, body.epoch).await?;
    let until_ms = api.clock.now_ms() + lease_ms(&api, body.lease_ms)?;
    match api.store.write(Heartbeat { fence, until_ms }).await? {
        Held::Until(expires_at_ms) => Ok(Json(Kept { expires_at_ms, cancelled: false })),
        Held::Cancelled(expires_at_ms) => Ok(Json(Kept { expires_at_ms, cancelled: true })),
        Held::Lost => Err(lost(&api, &id, body.epoch)),
    }
}

/// Says something before the end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputsBody {
    epoch: i64,
    outputs: Vec<Output>,
}

/// How many outputs the run has now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stored {
    outputs: i64,
}

/// Stores outputs; they are delivered when the run ends well.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/outputs",
    operation_id = "say_outputs",
    tag = "work",
    params(("id" = String, Path, description = "The run's id")),
    request_body = OutputsBody,
    responses(
        (status = 200, description = "They are stored", body = Stored),
        (status = 400, description = "asset_not_found"),
        (status = 404, description = "run_not_found"),
        (status = 409, description = "lease_lost, run_cancelled, too_many_outputs"),
    )
)]
pub async fn outputs(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    token: Option<Extension<TokenEpoch>>,
    extract::Json(body): extract::Json<OutputsBody>,
) -> Result<Json<Stored>, Problem> {
    check_token(&api, &id, body.epoch, token)?;
    check(&body.outputs)?;
    let fence = fence(&api, &id, body.epoch).await?;
    match api.store.write(Append { fence, outputs: body.outputs, now_ms: api.clock.now_ms() }).await? {
        Appended::Total(total) => Ok(Json(Stored { outputs: total })),
        Appended::Lost => Err(lost(&api, &id, body.epoch)),
        Appended::Cancelled => {
            let detail = format!("somebody cancelled `{id}`: stop the work, then call `finish` or `fail`");
            Err(Problem::conflict("runs", "run_cancelled", detail))
        }
        Appended::TooMany => Err(too_many()),
        Appended::UnknownAsset(asset) => Err(unknown_asset(&asset)),
    }
}

/// Ends a run well.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishBody {
    epoch: i64,
    #[serde(default)]
    outputs: Vec<Output>,
}

/// Completes the run; one that somebody cancelled ends as cancelled, without these outputs. The same call again changes
/// nothing and answers the same.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/finish",
    operation_id = "finish_run",
    tag = "work",
    params(("id" = String, Path, description = "The run's id")),
    request_body = FinishBody,
    responses(
        (status = 200, description = "The run, completed or cancelled", body = RunView),
        (status = 400, description = "asset_not_found"),
        (status = 404, description = "run_not_found"),
        (status = 409, description = "lease_lost, too_many_outputs"),
    )
)]
pub async fn finish(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    token: Option<Extension<TokenEpoch>>,
    extract::Json(body): extract::Json<FinishBody>,
) -> Result<Json<RunView>, Problem> {
    check_token(&api, &id, body.epoch, token)?;
    check(&body.outputs)?;
    end(&api, &id, body.epoch, End::Completed(body.outputs)).await
}

/// Ends a run badly.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailBody {
    epoch: i64,
    /// Stable, for programs.
    #[schema(pattern = "^[a-z0-9_]{1,64}$")]
    code: String,
    /// A sentence, for people; secrets in it are masked, and what is beyond 2,000 characters is dropped.
    reason: String,
    /// Puts the run back rather than failing it.
    #[serde(default)]
    retry: bool,
}

/// Fails the run, or puts it back to the front of its session. The last attempt that the settings allow always fails,
/// and a run that somebody cancelled ends as cancelled.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/fail",
    operation_id = "fail_run",
    tag = "work",
    params(("id" = String, Path, description = "The run's id")),
    request_body = FailBody,
    responses(
        (status = 200, description = "The run, failed, cancelled or queued again", body = RunView),
        (status = 404, description = "run_not_found"),
        (status = 409, description = "lease_lost"),
    )
)]
pub async fn fail(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    token: Option<Extension<TokenEpoch>>,
    extract::Json(body): extract::Json<FailBody>,
) -> Result<Json<RunView>, Problem> {
    check_token(&api, &id, body.epoch, token)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=64).contains(&body.code.len()) || !body.code.bytes().all(plain) {
        return Err(invalid("code", "1 to 64 of a-z, 0-9 and _"));
    }
    let error = RunError { code: body.code, detail: mask::cut(&body.reason, REASON_CHARS) };
    let attempt = runs::get(&api.store, parse(&id)?).await?.map_or(0, |run| run.attempt);
    let again = body.retry && attempt < api.queue.max_attempts;
    end(&api, &id, body.epoch, if again { End::Retry { wait_ms: 0 } } else { End::Failed(error) }).await
}

async fn end(api: &Api, id: &str, epoch: i64, end: End) -> Result<Json<RunView>, Problem> {
    let before = runs::get(&api.store, parse(id)?).await?.ok_or_else(|| not_found(id))?;
    let (fence, outcome) = (Fence { run: before.id, epoch }, end.outcome());
    let desk = Desk { clock: api.clock.clone(), destinations: Arc::clone(&api.connectors) as _ };
    let finish = api.store.write(Finish { fence, end, desk });
    let (run, outcome) = match finish.instrument(trace::finish(before.id)).await? {
        Finished::Done(run) => (run, outcome),
        Finished::Cancelled(run) => (run, RunOutcome::Cancelled),
        Finished::Lost => return Err(lost(api, id, epoch)),
        Finished::TooMany => return Err(too_many()),
        Finished::UnknownAsset(asset) => return Err(unknown_asset(&asset)),
    };
    // The same call again changes nothing.
    if before.status == RunStatus::Running {
        api.store.metrics().runs.add(outcome);
    }
    let run = runs::get(&api.store, run).await?.ok_or_else(|| not_found(id))?;
    Ok(Json(RunView::load(&api.store, run).await?))
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

/// A token that came with a run speaks for the lease that it came with, whatever the body names.
fn check_token(api: &Api, id: &str, epoch: i64, token: Option<Extension<TokenEpoch>>) -> Result<(), Problem> {
    match token {
        Some(Extension(TokenEpoch(good))) if good != epoch => Err(lost(api, id, epoch)),
        _ => Ok(()),
    }
}

fn lost(api: &Api, id: &str, epoch: i64) -> Problem {
    api.store.metrics().fenced_writes.inc();
    let detail =
        format!("the lease of `{id}` at epoch {epoch} is over: drop the work, the run has ended or is somebody else's");
    Problem::conflict("runs", "lease_lost", detail)
}

fn too_many() -> Problem {
    Problem::conflict("runs", "too_many_outputs", format!("a run says at most {MAX_OUTPUTS} outputs"))
}

fn unknown_asset(id: &str) -> Problem {
    Problem::bad_request("runs", "asset_not_found", format!("asset `{id}` does not exist: upload it first"))
}

/// Whether the files of outputs are what they can be; whether they exist is for the transaction to say.
fn check(outputs: &[Output]) -> Result<(), Problem> {
    for (at, output) in outputs.iter().enumerate() {
        output.check().map_err(|(field, expected)| invalid(&format!("outputs[{at}].{field}"), &expected))?;
    }
    Ok(())
}

fn invalid(field: &str, expected: &str) -> Problem {
    Problem::bad_request("runs", "invalid_payload", format!("`{field}`: expected {expected}"))
}
