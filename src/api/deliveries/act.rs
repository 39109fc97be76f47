//! What is done about one delivery: replay, resolve, cancel, the decision about unknown parts, and the look-up that may spare it.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{DOMAIN, identify, load, not_found};
use crate::{
    api::{Api, auth::change::Touched},
    delivery::{
        operate::{
            Refusal,
            close::{Close, End},
            decide::{Decide, Verdict},
            look_up::Seek,
            replay::{Replay, Replayed},
        },
        policies,
    },
    model::{delivery::DeliveryStatus, ids::DeliveryId},
    secrets::mask::mask,
    wire::{delivery_view::DeliveryView, extract, problem::Problem},
};

/// Why a dead letter was resolved, when nobody says.
const RESOLVED: &str = "operator resolved";

/// Characters of a reason, and of a platform's id.
const TEXT_CHARS: usize = 1_000;

/// How to replay.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplayQuery {
    /// Sends everything again under a new idempotency key, also when it was replayed before.
    force: Option<bool>,
}

/// The new delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayView {
    replayed_from_delivery_id: DeliveryId,
    delivery: DeliveryView,
}

/// Send what a dead or cancelled delivery did not.
///
/// The new delivery has the same idempotency key, and parts that arrived keep their receipt and are not sent again. The same
/// call again answers with the same delivery.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/replay", operation_id = "replay_delivery", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id"), ReplayQuery),
    responses(
        (status = 200, description = "The delivery that repeats it", body = ReplayView),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict, delivery_undecided"),
    ),
)]
pub async fn replay(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Query(query): extract::Query<ReplayQuery>,
) -> Result<(Extension<Touched>, Json<ReplayView>), Problem> {
    let id = identify(&id)?;
    let command = Replay { id, force: query.force == Some(true), clock: api.clock.clone() };
    let (Replayed::New(made) | Replayed::Existing(made)) =
        api.store.write(command).await?.map_err(|refusal| refused(refusal, id))?;
    let delivery = DeliveryView::from(&load(&api, made).await?);
    Ok((Touched::deliveries([id, made]), Json(ReplayView { replayed_from_delivery_id: id, delivery })))
}

/// Why nothing is left to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolution)]
pub struct ResolveBody {
    /// `operator resolved` when absent; secrets in it are masked.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Say that nothing is left to do about a dead letter. What was said first stays.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resolve", operation_id = "resolve_delivery", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")), request_body = ResolveBody,
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 400, description = "text_too_long"),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict"),
    ),
)]
pub async fn resolve(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Json(body): extract::Json<ResolveBody>,
) -> Result<Json<DeliveryView>, Problem> {
    close(&api, &id, End::Resolve(reason(body.reason)?)).await
}

/// Withdraw what was not sent yet.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/cancel", operation_id = "cancel_delivery", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict: nothing of it waits"),
    ),
)]
pub async fn cancel(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryView>, Problem> {
    close(&api, &id, End::Cancel).await
}

async fn close(api: &Api, id: &str, end: End) -> Result<Json<DeliveryView>, Problem> {
    let id = identify(id)?;
    let command = Close { id, end, now_ms: api.clock.now_ms() };
    api.store.write(command).await?.map_err(|refusal| refused(refusal, id))?;
    Ok(Json(DeliveryView::from(&load(api, id).await?)))
}

/// Send every unknown part again: they did not arrive, or may arrive twice.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resend", operation_id = "resend_delivery", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict: no part of it is unknown"),
    ),
)]
pub async fn resend(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryView>, Problem> {
    decide(&api, &id, None, Verdict::Resend).await
}

/// Send an unknown part again: it did not arrive, or may arrive twice.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/parts/{part}/resend", operation_id = "resend_part", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id"), ("part" = String, Path, description = "The part's number")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 404, description = "delivery_not_found, delivery_part_not_found"),
        (status = 409, description = "delivery_state_conflict: the part is not unknown"),
    ),
)]
pub async fn resend_part(
    State(api): State<Api>,
    extract::Path((id, part)): extract::Path<(String, String)>,
) -> Result<Json<DeliveryView>, Problem> {
    decide(&api, &id, Some(&part), Verdict::Resend).await
}

/// What the platform says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeliveredPart)]
pub struct DeliveredBody {
    /// What the platform calls it.
    #[schema(max_length = 1000)]
    platform_id: Option<String>,
}

/// Say that an unknown part arrived.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/parts/{part}/mark-delivered", operation_id = "mark_part_delivered", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id"), ("part" = String, Path, description = "The part's number")),
    request_body = DeliveredBody,
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 400, description = "text_too_long"),
        (status = 404, description = "delivery_not_found, delivery_part_not_found"),
        (status = 409, description = "delivery_state_conflict: the part is not unknown"),
    ),
)]
pub async fn mark_part_delivered(
    State(api): State<Api>,
    extract::Path((id, part)): extract::Path<(String, String)>,
    extract::Json(body): extract::Json<DeliveredBody>,
) -> Result<Json<DeliveryView>, Problem> {
    let platform_id = body.platform_id.map(|text| short("platform_id", text)).transpose()?;
    decide(&api, &id, Some(&part), Verdict::Delivered(platform_id)).await
}

/// Say that every unknown part arrived.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/mark-delivered", operation_id = "mark_delivered", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryView),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict: no part of it is unknown"),
    ),
)]
pub async fn mark_delivered(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryView>, Problem> {
    decide(&api, &id, None, Verdict::Delivered(None)).await
}

/// Ask the platform now whether the unknown parts arrived, before anything else is sent there.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/look-up", operation_id = "look_up_delivery", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery; its unknown parts are looked up next", body = DeliveryView),
        (status = 404, description = "delivery_not_found"),
        (status = 409, description = "delivery_state_conflict: no part of it is unknown, look_up_unsupported"),
    ),
)]
pub async fn look_up(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeliveryView>, Problem> {
    let id = identify(&id)?;
    let delivery = load(&api, id).await?;
    let unknown = delivery.parts.iter().any(|part| part.status == DeliveryStatus::Unknown);
    if unknown && !policies::can_look_up(&*api.connectors, &delivery.target) {
        let detail = format!(
            "what became of `{id}` cannot be looked up through its target: look there yourself, and decide by resend or \
             mark-delivered"
        );
        return Err(Problem::conflict(DOMAIN, "look_up_unsupported", detail));
    }
    let command = Seek { id, now_ms: api.clock.now_ms() };
    api.store.write(command).await?.map_err(|refusal| refused(refusal, id))?;
    Ok(Json(DeliveryView::from(&load(&api, id).await?)))
}

async fn decide(api: &Api, id: &str, part: Option<&str>, verdict: Verdict) -> Result<Json<DeliveryView>, Problem> {
    let id = identify(id)?;
    // What is no number names no part.
    let part = part.map(|part| part.parse().unwrap_or(-1));
    let command = Decide { id, part, verdict, now_ms: api.clock.now_ms() };
    api.store.write(command).await?.map_err(|refusal| refused(refusal, id))?;
    Ok(Json(DeliveryView::from(&load(api, id).await?)))
}

/// The reason as it is kept.
pub(super) fn reason(given: Option<String>) -> Result<String, Problem> {
    let text = short("reason", given.unwrap_or_default())?;
    Ok(if text.trim().is_empty() { RESOLVED.to_owned() } else { mask(&text).into_owned() })
}

fn short(field: &str, text: String) -> Result<String, Problem> {
    if text.chars().count() > TEXT_CHARS {
        let detail = format!("{field} has more than {TEXT_CHARS} characters");
        return Err(Problem::bad_request(DOMAIN, "text_too_long", detail));
    }
    Ok(text)
}

fn refused(refusal: Refusal, id: DeliveryId) -> Problem {
    let stands = |what: String| Problem::conflict(DOMAIN, "delivery_state_conflict", what);
    let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match refusal {
        Refusal::Missing => not_found(&id.to_string()),
        Refusal::NoPart => {
            Problem::not_found(DOMAIN, "delivery_part_not_found", format!("delivery `{id}` has no such part"))
        }
        Refusal::Stands(state) => {
            stands(format!("delivery `{id}` is {}, and this is for others: see its parts", name(json!(state))))
        }
        Refusal::PartStands(status) => {
            stands(format!("the part of `{id}` is {}, and only unknown ones are decided", name(json!(status))))
        }
        Refusal::Undecided => Problem::conflict(
            DOMAIN,
            "delivery_undecided",
            format!("parts of `{id}` may have arrived: decide them by resend or mark-delivered, or force the replay"),
        ),
    }
}
