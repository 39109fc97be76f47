//! `/v1/runtime/auth`: which programs have fetched which credentials, and the end of that (contract section 1.7).

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Api, secrets};
use crate::{
    connectors::credentials::{Lease, NotRevoked, Subject},
    wire::{extract, problem::Problem},
};

const DOMAIN: &str = "credentials";

/// One program that fetches credentials, and what it has.
///
/// A subject is `connector:` and the name of a connector of kind `external` whose program the daemon starts.
#[utoipa::path(
    get, path = "/v1/runtime/auth/subjects/{id}", operation_id = "get_credential_subject", tag = "secrets",
    params(("id" = String, Path, description = "The subject's id.")),
    responses(
        (status = 200, description = "The subject with its leases.", body = Subject),
        (status = 404, description = "subject_not_found"),
    ),
)]
pub async fn subject(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Subject>, Problem> {
    api.credentials.subject(&id).map(Json).ok_or_else(|| no_subject(&id))
}

/// Let a program fetch no credentials any more.
///
/// Its leases end, and it goes on running; it may fetch again when it is started anew. Neither connector nor secrets change.
#[utoipa::path(
    post, path = "/v1/runtime/auth/subjects/{id}/revoke", operation_id = "revoke_credential_subject", tag = "secrets",
    params(("id" = String, Path, description = "The subject's id.")),
    responses(
        (status = 200, description = "The subject; its token is good for nothing any more.", body = Subject),
        (status = 404, description = "subject_not_found"),
        (status = 409, description = "runs_elsewhere"),
    ),
)]
pub async fn revoke_subject(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Subject>, Problem> {
    api.credentials.revoke_subject(&id).map(Json).map_err(|why| match why {
        NotRevoked::Unknown => no_subject(&id),
        NotRevoked::RunsElsewhere => {
            let detail = format!("another daemon on the same store runs the program of `{id}`: revoke it there");
            Problem::conflict(DOMAIN, "runs_elsewhere", detail)
        }
    })
}

/// One lease of a credential. Of those that have ended the last 1,024 are remembered.
#[utoipa::path(
    get, path = "/v1/runtime/auth/leases/{id}", operation_id = "get_credential_lease", tag = "secrets",
    params(("id" = String, Path, description = "The lease's id.")),
    responses(
        (status = 200, description = "The lease.", body = Lease),
        (status = 404, description = "lease_not_found"),
    ),
)]
pub async fn lease(State(api): State<Api>, extract::Path(id): extract::Path<String>) -> Result<Json<Lease>, Problem> {
    api.credentials.lease(&id).map(Json).ok_or_else(|| no_lease(&id))
}

/// End one lease.
///
/// Its program may not fetch that credential again until it is started anew, and keeps the others. One that has ended stays
/// as it is.
#[utoipa::path(
    post, path = "/v1/runtime/auth/leases/{id}/revoke", operation_id = "revoke_credential_lease", tag = "secrets",
    params(("id" = String, Path, description = "The lease's id.")),
    responses(
        (status = 200, description = "The lease.", body = Lease),
        (status = 404, description = "lease_not_found"),
    ),
)]
pub async fn revoke_lease(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Lease>, Problem> {
    api.credentials.revoke_lease(&id).map(Json).ok_or_else(|| no_lease(&id))
}

/// What became of the leases of a stored secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RevokedSlot)]
pub struct SlotView {
    /// The secret.
    slot_id: String,
    /// How many leases ended.
    revoked_leases: usize,
}

/// End every lease of a stored secret.
///
/// No program that runs may fetch it again until it is started anew. The secret and those that name it stay as they are.
#[utoipa::path(
    post, path = "/v1/runtime/auth/slots/{slot}/revoke", operation_id = "revoke_credential_slot", tag = "secrets",
    params(("slot" = String, Path, description = "The secret's name.")),
    responses(
        (status = 200, description = "What ended.", body = SlotView),
        (status = 404, description = "secret_not_found"),
    ),
)]
pub async fn revoke_slot(
    State(api): State<Api>,
    extract::Path(slot): extract::Path<String>,
) -> Result<Json<SlotView>, Problem> {
    let known = api.connectors.secret(&slot).await.map_err(secrets::failed)?;
    let Some(known) = known else {
        return Err(Problem::not_found(DOMAIN, "secret_not_found", format!("there is no secret `{slot}`")));
    };
    let revoked_leases = api.credentials.revoke_slot(&known.name);
    Ok(Json(SlotView { slot_id: known.name, revoked_leases }))
}

fn no_subject(id: &str) -> Problem {
    let detail = format!(
        "there is no subject `{id}`: it is `connector:` and the name of an external connector whose program the daemon starts"
    );
    Problem::not_found(DOMAIN, "subject_not_found", detail)
}

fn no_lease(id: &str) -> Problem {
    Problem::not_found(DOMAIN, "lease_not_found", format!("there is no lease `{id}`, or it ended long ago"))
}
