//! `GET …/credentials/{env_key}`: a child fetches one of its credentials.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Asked, Denial, Fetched};
use crate::{
    external::{
        KIND,
        events::Sidecars,
        print::{self, Print},
    },
    ingress::door::DOMAIN,
    model::ids::ConnectorId,
    wire::{extract, problem::Problem},
};

/// The route. It stands beside that of all connectors and is more exact.
pub fn router(sidecars: Sidecars) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(fetch)).with_state(sidecars)
}

/// A credential, and for how long to use it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ExternalCredential)]
struct Credential {
    value: String,
    /// What this program has of this credential, in the audit file and for operators. The same until its end.
    lease_id: String,
    /// What the child was given at its start, in the audit file.
    grant_id: String,
    /// The lease's end, in milliseconds since 1970: fetch it again before, which renews the lease. The token goes on being
    /// good while the child lives.
    expires_at_ms: i64,
}

/// A credential of a sidecar that the daemon has started, for that sidecar.
///
/// The token is the one that it was started with (`KHEISH_EXTERNAL_CONNECTOR_CREDENTIAL_TOKEN`).
#[utoipa::path(
    get,
    path = "/v1/connectors/external/{name}/credentials/{env_key}",
    operation_id = "get_external_credential",
    tag = "ingress",
    params(
        ("name" = String, Path, description = "The connector's name"),
        ("env_key" = String, Path, description = "The credential, as credential_slots name it"),
    ),
    responses(
        (status = 200, description = "Its value now; not to be kept by anybody else", body = Credential),
        (status = 401, description = "invalid_token: none, not this one, or not any more"),
        (status = 403, description = "credential_revoked: an operator has taken it away"),
        (status = 404, description = "connector_not_found, credential_not_found"),
        (status = 429, description = "rate_limited: too many requests without a good token"),
    )
)]
async fn fetch(
    State(sidecars): State<Sidecars>,
    extract::Path((name, key)): extract::Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = ConnectorId { kind: KIND.to_owned(), name };
    let missing =
        || Problem::not_found(DOMAIN, "connector_not_found", format!("there is no connector `{id}` with a child"));
    let route = sidecars.ingress.routes.find(&id).ok_or_else(missing)?;
    let print = Print::of(&route.context).ok_or_else(missing)?;
    let broker = &sidecars.external.broker;
    let asked = Asked { connector: &id, print, token: bearer(&headers), key: &key };
    let fetched = broker.fetch(&asked, sidecars.external.bounds.child.lease_ms);
    let Fetched { grant_id, lease_id, expires_at_ms } = fetched.map_err(|denial| denied(denial, &id, &key))?;
    // What the grant was made with is what the connector has now: the value is there.
    let secret = route.context.secrets.get(&print::slot(&key)).ok_or_else(|| Problem::internal(DOMAIN))?;
    let value = String::from_utf8(secret.expose().to_vec()).map_err(|_| Problem::internal(DOMAIN))?;
    let answer = Json(Credential { value, lease_id, grant_id, expires_at_ms });
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer).into_response())
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

fn denied(denial: Denial, id: &ConnectorId, key: &str) -> Problem {
    let detail = "show the token that this child was started with; it ends with the child, and when it is withdrawn";
    match denial {
        Denial::Token => Problem::new(StatusCode::UNAUTHORIZED, DOMAIN, "invalid_token", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kheish-credentials\"")),
        Denial::TooOften(left) => {
            let wait_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            Problem::too_many_requests(DOMAIN, "rate_limited", detail, wait_ms)
        }
        Denial::Key => {
            let detail = format!("connector `{id}` names no credential `{key}` among its credential_slots");
            Problem::not_found(DOMAIN, "credential_not_found", detail)
        }
        Denial::Withdrawn => {
            let detail = format!(
                "an operator has taken the credential `{key}` away from this program; `kheishd connectors restart external \
                 {}` starts it with what its settings name",
                id.name
            );
            Problem::new(StatusCode::FORBIDDEN, DOMAIN, "credential_revoked", detail)
        }
    }
}
