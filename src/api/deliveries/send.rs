//! A delivery without an executor: what an operator says, in a session.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::DOMAIN;
use crate::{
    api::{Api, auth::change::Touched, sessions, submit::idempotency_key},
    delivery::targets,
    ingress::{answer, prepare::receipt_key},
    model::{artifact::ArtifactReference, ids::SessionId, output::Output, target::ReplyTarget},
    outputs::{
        address::Desk,
        direct::{Say, Unsaid},
    },
    store::{
        deliveries::read::{self, DeliveryFilter},
        receipts::NewReceipt,
    },
    wire::{delivery_view::DeliveryView, extract, problem::Problem},
};

/// What is said, and where.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDelivery)]
pub struct SendBody {
    session_id: String,
    /// The plugin that delivers.
    plugin: String,
    /// The address in that plugin's form.
    target: String,
    /// Empty only where files go along.
    content: String,
    /// Files that go along, 32 at most, as with the outputs of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    artifacts: Vec<ArtifactReference>,
}

/// Send something to a target.
///
/// It is an output of a run of its own, which is complete from the start.
#[utoipa::path(
    post, path = "/v1/deliveries", operation_id = "create_delivery", tag = "deliveries",
    params(
        ("Idempotency-Key" = Option<String>, Header, nullable = false, description = "The same key makes one delivery; at most 512 bytes"),
    ),
    request_body = SendBody,
    responses(
        (status = 202, description = "The delivery", body = DeliveryView),
        (status = 400, description = "empty_content, asset_not_found, reply_target_invalid, invalid_idempotency_key"),
        (status = 404, description = "session_not_found"),
        (status = 409, description = "idempotency_conflict"),
        (status = 502, description = "connector_failed: it could not check the target"),
    ),
)]
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    extract::Json(body): extract::Json<SendBody>,
) -> Result<(StatusCode, axum::Extension<Touched>, Json<DeliveryView>), Problem> {
    let session = SessionId::parse(&body.session_id).map_err(|_| sessions::not_found(&body.session_id))?;
    let output = Output { content: body.content.clone(), artifacts: body.artifacts.clone() };
    if output.content.is_empty() && output.artifacts.is_empty() {
        return Err(Problem::bad_request(DOMAIN, "empty_content", "give a content, or files"));
    }
    output.check().map_err(|(field, expected)| {
        Problem::bad_request(DOMAIN, "invalid_payload", format!("`{field}`: expected {expected}"))
    })?;
    let run = api.clock.run_id();
    // The fingerprint is of what was sent: how a plugin writes an address may change between two of the same.
    let fingerprint = Sha256::digest(json!(&body).to_string()).into();
    let key = idempotency_key(&headers, None)?;
    let key = key.map(|key| receipt_key(&format!("api:deliveries/{session}"), &key));
    let target = ReplyTarget { plugin: body.plugin, address: body.target };
    let target = targets::check(&target, &*api.connectors).await;
    let say = Say {
        receipt: key.map(|key| NewReceipt { key, fingerprint, run }),
        run,
        target: target.map_err(|error| answer::target_refused(DOMAIN, &error))?,
        output,
        desk: Desk { clock: api.clock.clone(), destinations: api.connectors.clone() },
        session,
    };
    let run = api.store.write(say).await?.map_err(|unsaid| match unsaid {
        Unsaid::UnknownSession => sessions::not_found(&body.session_id),
        Unsaid::Conflict => {
            let detail = "the key was used for another delivery: send what was sent before, or take a new key";
            Problem::conflict("idempotency", "idempotency_conflict", detail)
        }
        Unsaid::UnknownAsset(id) => {
            Problem::bad_request(DOMAIN, "asset_not_found", format!("asset `{id}` does not exist: upload it first"))
        }
    })?;
    let filter = DeliveryFilter { run: Some(run), ..DeliveryFilter::default() };
    let made = read::list(&api.store, &filter, 1).await?;
    let made = made.first().ok_or_else(|| Problem::internal(DOMAIN))?;
    Ok((StatusCode::ACCEPTED, Touched::deliveries([made.id]), Json(made.into())))
}
