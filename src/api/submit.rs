//! `POST /v1/sessions/{id}/runs`: a run without a connector.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::to_raw_value};
use sha2::{Digest, Sha256};
use tracing::Instrument as _;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AdditionalProperties, Array, Schema},
    },
};

use super::{Api, sessions::not_found};
use crate::{
    delivery::targets,
    ingress::{
        accept::{API, Accept, Entry, Key, Refused},
        answer,
        prepare::{receipt_key, split_input},
    },
    model::{
        artifact::ANY_TYPE,
        event::{InlineFile, InputPart, SessionKey},
        ids::{ConnectorId, SessionId},
        run::RunRequest,
        target::ReplyTarget,
        written::written_targets,
    },
    sessions::placement::Placement,
    telemetry::trace,
    wire::{extract, problem::Problem, view::RunView},
};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 512;

/// What is submitted: text, or pieces.
#[derive(Debug, Deserialize, serde::Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Text. Either this or `input_items` is given.
    #[serde(default)]
    content: String,
    #[serde(default)]
    #[schema(schema_with = input_items)]
    input_items: Vec<InputItem>,
    /// `api` when absent.
    source_kind: Option<String>,
    /// Who caused it.
    actor_id: Option<String>,
    /// Whatever else there is to know.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[serde(default)]
    #[schema(schema_with = written_targets)]
    reply_targets: Vec<ReplyTarget>,
    /// The same key makes one run. The same as the header.
    #[schema(max_length = 512)]
    idempotency_key: Option<String>,
}

/// One piece of content.
#[derive(Debug, Deserialize, serde::Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum InputItem {
    Text {
        text: String,
    },
    AssetReference {
        asset_id: String,
    },
    InlineAsset {
        file_name: String,
        media_type: Option<String>,
        #[schema(format = Byte)]
        content_base64: String,
    },
}

/// The pieces as they are read: none has a member that it does not know, which the derived schema leaves out.
fn input_items() -> Array {
    let mut item = InputItem::schema();
    if let RefOr::T(Schema::OneOf(kinds)) = &mut item {
        for kind in &mut kinds.items {
            if let RefOr::T(Schema::Object(kind)) = kind {
                kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
    Array::new(item)
}

/// Makes a run, or finds the one that the same key made before.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/runs",
    operation_id = "submit_run",
    tag = "runs",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, nullable = false, description = "The same key makes one run; at most 512 bytes"),
    ),
    request_body = Submission,
    responses(
        (status = 202, description = "The run", body = RunView),
        (status = 400, description = "empty_content, conflicting_content, invalid_base64, invalid_idempotency_key, \
            reply_target_invalid, asset_not_found"),
        (status = 404, description = "session_not_found"),
        (status = 409, description = "idempotency_conflict, binding_conflict"),
    )
)]
pub async fn submit(
    State(api): State<Api>,
    extract::Path(session): extract::Path<String>,
    headers: HeaderMap,
    extract::Json(mut submission): extract::Json<Submission>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let session = SessionId::parse(&session).map_err(|_| not_found(&session))?;
    // Taken out: the same key by the other way is the same submission.
    let key = idempotency_key(&headers, submission.idempotency_key.take().as_deref())?;
    let mut checked = Vec::with_capacity(submission.reply_targets.len());
    for target in &submission.reply_targets {
        checked.push(targets::check(target, &*api.connectors).await);
    }
    let checked = answer::targets_taken("runs", checked)?;
    let mut entry = entry(&api, &session, key.as_deref(), submission)?;
    // The fingerprint is of what was submitted: how a plugin writes a route may change between two of the same.
    entry.request.reply_targets = checked;
    let span = trace::submit(entry.run);
    let accept = Accept {
        source: API.to_owned(),
        entries: vec![entry],
        effects: Vec::new(),
        rate: None,
        now_ms: api.clock.now_ms(),
    };
    match api.store.write(accept).instrument(span).await? {
        Ok(accepted) => match answer::of_first(&api.store, accepted).await? {
            Some(view) => Ok((StatusCode::ACCEPTED, Json(view))),
            None => Err(not_found(session.as_str())),
        },
        Err(Refused::UnknownSession(session)) => Err(not_found(session.as_str())),
        Err(refused @ Refused::Conflict(_)) => {
            Err(Problem::conflict("idempotency", "idempotency_conflict", refused.to_string()))
        }
        Err(refused @ Refused::TooFast(wait_ms)) => {
            Err(Problem::too_many_requests("runs", "rate_limited", refused.to_string(), wait_ms))
        }
        Err(refused @ Refused::UnknownAsset(_)) => Err(invalid("asset_not_found", refused.to_string())),
        Err(refused @ Refused::Unplaced(_)) => {
            Err(Problem::conflict("sessions", "binding_conflict", refused.to_string()))
        }
    }
}

fn entry(api: &Api, session: &SessionId, key: Option<&str>, submission: Submission) -> Result<Entry, Problem> {
    let fingerprint: [u8; 32] = Sha256::digest(json!(&submission).to_string()).into();
    let source = ConnectorId { kind: "api".to_owned(), name: String::new() };
    let named = SessionKey::SessionId(session.as_str().to_owned());
    let placement = Placement::new(&source, &named, Vec::new())
        .map_err(|error| invalid("invalid_session_id", error.to_string()))?;
    let (input, assets) = split_input(parts(submission.content, submission.input_items)?);
    let request = RunRequest {
        source_plugin: "api".to_owned(),
        source_kind: submission.source_kind.unwrap_or_else(|| "api".to_owned()),
        actor: submission.actor_id,
        input,
        metadata: to_raw_value(&submission.metadata).map_err(|error| invalid("invalid_payload", error.to_string()))?,
        reply_targets: submission.reply_targets,
    };
    let key = key.map(|key| Key { receipt: receipt_key(&format!("api/{session}"), key), fingerprint });
    let run = api.clock.run_id();
    Ok(Entry { run, key, placement, request, write_back: false, executor: None, assets, fetch: false, gathers: None })
}

fn parts(content: String, items: Vec<InputItem>) -> Result<Vec<InputPart>, Problem> {
    match (content.is_empty(), items.is_empty()) {
        (true, true) => Err(invalid("empty_content", "give content or input_items")),
        (false, false) => Err(invalid("conflicting_content", "give content or input_items, not both")),
        (false, true) => Ok(vec![InputPart::Text(content)]),
        (true, false) => items.into_iter().map(part).collect(),
    }
}

fn part(item: InputItem) -> Result<InputPart, Problem> {
    match item {
        InputItem::Text { text } => Ok(InputPart::Text(text)),
        InputItem::AssetReference { asset_id } => Ok(InputPart::Asset(asset_id)),
        InputItem::InlineAsset { file_name, media_type, content_base64 } => {
            let data = STANDARD
                .decode(content_base64)
                .map_err(|error| invalid("invalid_base64", format!("content_base64 of `{file_name}`: {error}")))?;
            let media_type = media_type.unwrap_or_else(|| ANY_TYPE.to_owned());
            Ok(InputPart::InlineFile(InlineFile { name: file_name, media_type, data }))
        }
    }
}

/// From the header, the body, or both when they agree.
pub(super) fn idempotency_key(headers: &HeaderMap, in_body: Option<&str>) -> Result<Option<String>, Problem> {
    let refuse = |detail: &str| Problem::bad_request("idempotency", "invalid_idempotency_key", detail);
    let in_header = headers
        .get("idempotency-key")
        .map(|value| value.to_str().map_err(|_| refuse("the Idempotency-Key header is not plain text")))
        .transpose()?;
    let key = match (in_header.map(str::trim), in_body.map(str::trim)) {
        (Some(header), Some(body)) if header != body => {
            return Err(refuse("the header and the body give different keys"));
        }
        (header, body) => header.or(body),
    };
    match key {
        Some("") => Err(refuse("the key is empty: leave it out, or give one")),
        Some(key) if key.len() > MAX_KEY_BYTES => Err(refuse("the key is longer than 512 bytes")),
        key => Ok(key.map(str::to_owned)),
    }
}

fn invalid(code: &str, detail: impl Into<String>) -> Problem {
    Problem::bad_request("runs", code, detail)
}
