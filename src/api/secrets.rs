//! `/v1/runtime/secrets`: values go in and never come out (contract section 1.7).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{Api, to_its_end};
use crate::{
    model::secret::SecretStatus,
    registry::{entry::Entry, secrets::NotDeleted},
    secrets::Secret,
    vault::VaultError,
    wire::{extract, problem::Problem},
};

const DOMAIN: &str = "secrets";

/// What is known of a secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Secret)]
pub struct SecretView {
    /// Its name.
    slot_id: String,
    provider: Provider,
    mode: Mode,
    /// A few words for people.
    summary: String,
    /// Grows with each value.
    version: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
    /// Connectors that refer to it, as `kind/name`.
    used_by: Vec<String>,
}

/// What a secret is for. The reference knows more; a connector host needs one.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SecretProvider)]
enum Provider {
    Generic,
}

/// How a secret is used.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SecretMode)]
enum Mode {
    OpaqueSecret,
}

/// A secret to store.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSecret)]
pub struct SecretBody {
    /// Its name: 1 to 256 bytes.
    slot_id: String,
    /// `generic`.
    #[serde(default = "generic")]
    #[expect(dead_code, reason = "read to refuse providers that the reference has and this daemon has not")]
    provider: Provider,
    /// `opaque_secret`.
    #[serde(default = "opaque")]
    #[expect(dead_code, reason = "read to refuse modes that the reference has and this daemon has not")]
    mode: Mode,
    state: SecretState,
    /// Taken from callers of the reference; the daemon keeps its own time.
    #[expect(dead_code, reason = "part of the reference's body")]
    updated_at_ms: Option<i64>,
}

fn generic() -> Provider {
    Provider::Generic
}

fn opaque() -> Mode {
    Mode::OpaqueSecret
}

/// The value.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SecretState {
    /// 1 byte to 64 KiB, not blank.
    value: String,
}

/// All secrets, in the order of their names; never their values.
#[utoipa::path(
    get, path = "/v1/runtime/secrets", operation_id = "list_secrets", tag = "secrets",
    responses((status = 200, description = "What is known of each.", body = [SecretView])),
)]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<SecretView>>, Problem> {
    let all = api.connectors.secrets().await.map_err(failed)?;
    let mut users = api.connectors.users_by_secret();
    let views = all.into_iter().map(|status| {
        let users = users.remove(&status.name).unwrap_or_default();
        view(status, &users)
    });
    Ok(Json(views.collect()))
}

/// One secret, without its value.
#[utoipa::path(
    get, path = "/v1/runtime/secrets/{ref}", operation_id = "get_secret", tag = "secrets",
    params(("ref" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "What is known of it.", body = SecretView),
        (status = 404, description = "secret_not_found"),
    ),
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(name): extract::Path<String>,
) -> Result<Json<SecretView>, Problem> {
    let status = api.connectors.secret(&name).await.map_err(failed)?;
    let status = status.ok_or_else(|| not_found(NotDeleted::Unknown(name)))?;
    let users = api.connectors.users_of(&status.name);
    Ok(Json(view(status, &users)))
}

/// Store a secret, new or in place of its former value. Connectors that refer to it have the new value when this answers.
#[utoipa::path(
    post, path = "/v1/runtime/secrets", operation_id = "put_secret", tag = "secrets", request_body = SecretBody,
    responses(
        (status = 200, description = "Stored.", body = SecretView),
        (status = 400, description = "invalid_secret"),
    ),
)]
pub async fn put(
    State(api): State<Api>,
    extract::Json(body): extract::Json<SecretBody>,
) -> Result<Json<SecretView>, Problem> {
    let value = Secret::new(body.state.value);
    let connectors = Arc::clone(&api.connectors);
    let stored = to_its_end(async move { connectors.put_secret(&body.slot_id, &value).await }).await?;
    let status = stored.map_err(super::connectors::refused)?;
    let users = api.connectors.users_of(&status.name);
    Ok(Json(view(status, &users)))
}

/// That something was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Accepted)]
pub struct AcceptedView {
    accepted: bool,
}

/// Delete a secret that no connector uses.
#[utoipa::path(
    delete, path = "/v1/runtime/secrets/{ref}", operation_id = "delete_secret", tag = "secrets",
    params(("ref" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "Deleted.", body = AcceptedView),
        (status = 404, description = "secret_not_found"),
        (status = 409, description = "secret_in_use"),
    ),
)]
pub async fn delete(
    State(api): State<Api>,
    extract::Path(name): extract::Path<String>,
) -> Result<Json<AcceptedView>, Problem> {
    let connectors = Arc::clone(&api.connectors);
    to_its_end(async move { connectors.delete_secret(&name).await }).await?.map_err(not_found)?;
    Ok(Json(AcceptedView { accepted: true }))
}

/// What a rotation did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RotatedKeys)]
pub struct RotatedView {
    /// The key that seals from now on.
    data_key: i64,
    /// Secrets that were sealed again.
    secrets: u64,
    /// Whether the master key was replaced too: not when it was given by a variable.
    master_key_replaced: bool,
}

/// Seal every secret under a new key, while events flow.
#[utoipa::path(
    post, path = "/v1/runtime/secret-keys/rotate", operation_id = "rotate_keys", tag = "secrets",
    responses((status = 200, description = "Done.", body = RotatedView)),
)]
pub async fn rotate_keys(State(api): State<Api>) -> Result<Json<RotatedView>, Problem> {
    let rotated = api.connectors.rotate_keys().await.map_err(failed)?;
    Ok(Json(RotatedView {
        data_key: rotated.data_key,
        secrets: rotated.secrets,
        master_key_replaced: rotated.master_key_replaced,
    }))
}

fn view(status: SecretStatus, users: &[Arc<Entry>]) -> SecretView {
    let used_by: Vec<String> = users.iter().map(|entry| entry.definition.id.to_string()).collect();
    let summary = match used_by.len() {
        0 => "not used by any connector".to_owned(),
        1 => "used by one connector".to_owned(),
        many => format!("used by {many} connectors"),
    };
    SecretView {
        slot_id: status.name,
        provider: Provider::Generic,
        mode: Mode::OpaqueSecret,
        summary,
        version: status.version,
        created_at_ms: status.created_ms,
        updated_at_ms: status.updated_ms,
        used_by,
    }
}

fn not_found(error: NotDeleted) -> Problem {
    let detail = error.to_string();
    match error {
        NotDeleted::Unknown(_) => Problem::not_found(DOMAIN, "secret_not_found", detail),
        NotDeleted::Store(error) => error.into(),
        NotDeleted::Used(..) | NotDeleted::Signs(..) => Problem::conflict(DOMAIN, "secret_in_use", detail),
        NotDeleted::Vault(error) => failed(error),
    }
}

/// Trouble of the vault: a bad name or value is the caller's, everything else is ours.
pub(super) fn failed(error: VaultError) -> Problem {
    match error {
        VaultError::Invalid(invalid) => Problem::bad_request(DOMAIN, "invalid_secret", invalid.to_string()),
        VaultError::Store(error) => error.into(),
        error => {
            tracing::error!(%error, "the sealed store failed: {error}");
            let detail = "the sealed store failed; the daemon's log says how";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, DOMAIN, "internal_error", detail)
        }
    }
}
