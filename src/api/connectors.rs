//! `/v1/runtime/connectors`: look at connectors, make, change, delete them (contract section 1.6).

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Api,
    page::{List, PageQuery},
    to_its_end,
};
use crate::{
    model::{
        ids::{ConnectorId, SessionId},
        target::ReplyTarget,
    },
    registry::{
        change::{How, Refused, SessionLoss},
        definition::Broken,
        view::ConnectorView,
    },
    wire::{
        extract,
        problem::{FieldError, Problem},
    },
};

pub mod process;
pub mod test;

const DOMAIN: &str = "connectors";

/// The connector that a path names.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Which {
    /// Its kind.
    kind: String,
    /// Its name.
    name: String,
}

impl From<Which> for ConnectorId {
    fn from(Which { kind, name }: Which) -> Self {
        Self { kind, name }
    }
}

/// All connectors, in the order of kind and name.
///
/// Without `page` or `cursor` the list is whole, however long it is, as the reference's.
#[utoipa::path(
    get, path = "/v1/runtime/connectors", operation_id = "list_connectors", tag = "connectors", params(PageQuery),
    responses(
        (status = 200, description = "All of them, or a page.", body = List<ConnectorView>),
        (status = 400, description = "invalid_limit, invalid_cursor"),
    ),
)]
pub async fn list(
    State(api): State<Api>,
    extract::Query(query): extract::Query<PageQuery>,
) -> Result<Json<List<ConnectorView>>, Problem> {
    let (all, paused) = (api.connectors.all(), api.connectors.pauses().await?);
    if query.is_plain() {
        let views: Vec<ConnectorView> = all.iter().map(|entry| api.connectors.view(entry, &paused)).collect();
        return Ok(Json(List::Bare(views)));
    }
    let paging = query.check()?;
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let after = paging.after.clone().unwrap_or_default();
    let keyed = all.iter().map(|entry| (entry.definition.id.to_string(), entry));
    let rest = keyed.filter(|(key, _)| *key > after).take(usize::try_from(paging.read()).unwrap_or(usize::MAX));
    let items = rest.map(|(key, entry)| (key, api.connectors.view(entry, &paused))).collect();
    paging.answer(items, async { Ok(total) }, "kind_asc,name_asc").await
}

/// One connector.
#[utoipa::path(
    get, path = "/v1/runtime/connectors/{kind}/{name}", operation_id = "get_connector", tag = "connectors",
    params(Which),
    responses(
        (status = 200, description = "The connector; `ETag` holds its revision.", body = ConnectorView, headers(("etag" = String))),
        (status = 400, description = "unknown_kind"),
        (status = 404, description = "connector_not_found"),
    ),
)]
pub async fn get(State(api): State<Api>, extract::Path(which): extract::Path<Which>) -> Result<Response, Problem> {
    let id = ConnectorId::from(which);
    let entry = api.connectors.get(&id).ok_or_else(|| not_found(&api, &id))?;
    let paused = api.connectors.pauses().await?;
    Ok((etag(entry.definition.revision), Json(api.connectors.view(&entry, &paused))).into_response())
}

/// How a change is made.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutQuery {
    /// Check everything, change nothing, and show what would become of it.
    dry_run: bool,
    /// With `dry_run`: connectors that are about to be made, as `kind/name` with commas, so that reply targets may lead to them.
    #[param(required = false)]
    expecting: String,
}

impl PutQuery {
    fn expecting(&self) -> Result<Vec<ConnectorId>, Problem> {
        let named = self.expecting.split(',').filter(|id| !id.is_empty());
        let parsed = named.map(|id| {
            let (kind, name) = id.split_once('/').unwrap_or_default();
            let id = ConnectorId { kind: kind.to_owned(), name: name.to_owned() };
            ConnectorId::name_is_valid(name).then_some(id)
        });
        let expecting: Option<Vec<_>> = parsed.collect();
        expecting.filter(|ids| self.dry_run || ids.is_empty()).ok_or_else(|| {
            let detail = "expecting names connectors as kind/name, with commas, and goes with dry_run=true";
            Problem::bad_request(DOMAIN, "invalid_query", detail)
        })
    }
}

/// A connector after a change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChangedConnector)]
pub struct PutView {
    #[serde(flatten)]
    connector: ConnectorView,
    /// Whether it is new.
    created: bool,
    /// Whether anything is different.
    changed: bool,
}

/// Make or change a connector.
///
/// Fields that the body names are set, null resets one, the others stay. A secret is `{"value"}`, `{"env"}`, `{"secret_ref"}`,
/// `{"value", "secret_ref"}`, or `{}` to clear it; its value is sealed and never shown. A list of secrets is replaced by the
/// list that the body has, and `[]` clears it; an entry names its key, and keeps the secret of that key when it says nothing
/// of it. Every broken rule is reported at once. `If-Match` with a revision guards against a change in between; `If-None-Match: *` demands that it is new.
#[utoipa::path(
    put, path = "/v1/runtime/connectors/{kind}/{name}", operation_id = "put_connector", tag = "connectors",
    params(
        Which, PutQuery,
        ("if-match" = Option<String>, Header, description = "The revision that is changed, in quotes."),
        ("if-none-match" = Option<String>, Header, description = "`*`: only when there is none."),
    ),
    request_body(content = std::collections::BTreeMap<String, serde_json::Value>, description = "The fields to set."),
    responses(
        (status = 200, description = "Changed, as it was, or checked.", body = PutView, headers(("etag" = String))),
        (status = 201, description = "Made.", body = PutView, headers(("etag" = String))),
        (status = 400, description = "invalid_connector, unknown_kind, invalid_revision, invalid_secret"),
        (status = 404, description = "secret_not_found"),
        (status = 409, description = "connector_file_backed, setting_fixed"),
        (status = 412, description = "revision_mismatch"),
    ),
)]
pub async fn put(
    State(api): State<Api>,
    extract::Path(which): extract::Path<Which>,
    extract::Query(query): extract::Query<PutQuery>,
    headers: HeaderMap,
    extract::Json(change): extract::Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let id = ConnectorId::from(which);
    let how = How { dry_run: query.dry_run, if_revision: revision(&headers)?, expecting: query.expecting()? };
    let connectors = Arc::clone(&api.connectors);
    let put = to_its_end(async move { connectors.put(&id, change, how).await }).await?.map_err(refused)?;
    let status = if put.created && !query.dry_run { StatusCode::CREATED } else { StatusCode::OK };
    let connector = api.connectors.view(&put.entry, &api.connectors.pauses().await?);
    let view = PutView { connector, created: put.created, changed: put.changed };
    Ok((status, etag(put.entry.definition.revision), Json(view)).into_response())
}

/// What was deleted with a connector.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DeletedConnector)]
pub struct DeletedView {
    accepted: bool,
    /// Sessions whose default reply targets led to it; they lost these, and keep the others.
    sessions: Vec<SessionLossView>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SessionLoss)]
struct SessionLossView {
    session_id: SessionId,
    removed: Vec<ReplyTarget>,
}

impl From<SessionLoss> for SessionLossView {
    fn from(loss: SessionLoss) -> Self {
        Self { session_id: loss.session, removed: loss.removed }
    }
}

/// Delete a connector, its durable state and its own secrets.
#[utoipa::path(
    delete, path = "/v1/runtime/connectors/{kind}/{name}", operation_id = "delete_connector", tag = "connectors",
    params(
        Which,
        ("if-match" = Option<String>, Header, description = "The revision that is deleted, in quotes."),
    ),
    responses(
        (status = 200, description = "Deleted.", body = DeletedView),
        (status = 400, description = "unknown_kind, invalid_revision"),
        (status = 404, description = "connector_not_found"),
        (status = 409, description = "connector_file_backed, connector_referenced"),
        (status = 412, description = "revision_mismatch"),
    ),
)]
pub async fn delete(
    State(api): State<Api>,
    extract::Path(which): extract::Path<Which>,
    headers: HeaderMap,
) -> Result<Json<DeletedView>, Problem> {
    let id = ConnectorId::from(which);
    if api.connectors.get(&id).is_none() {
        return Err(not_found(&api, &id));
    }
    let (connectors, revision) = (Arc::clone(&api.connectors), revision(&headers)?);
    let lost = to_its_end(async move { connectors.delete(&id, revision).await }).await?.map_err(refused)?;
    Ok(Json(DeletedView { accepted: true, sessions: lost.into_iter().map(Into::into).collect() }))
}

fn not_found(api: &Api, id: &ConnectorId) -> Problem {
    if api.connectors.kinds().plugin(&id.kind).is_none() {
        let known = api.connectors.kinds().kinds().join(", ");
        let detail = format!("no plugin provides the kind `{}` (there are: {known})", id.kind);
        return Problem::bad_request(DOMAIN, "unknown_kind", detail);
    }
    Problem::not_found(DOMAIN, "connector_not_found", format!("there is no connector `{id}`"))
}

fn etag(revision: i64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// The revision that `If-Match` names, or none at all where `If-None-Match: *` stands.
fn revision(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(0)),
        (Some(quoted), None) => {
            let digits = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(|| {
                Problem::bad_request(
                    DOMAIN,
                    "invalid_revision",
                    "If-Match: give the ETag as it came, a number in quotes",
                )
            })
        }
        _ => Err(Problem::bad_request(DOMAIN, "invalid_revision", "give If-Match, or If-None-Match: *, not both")),
    }
}

pub(super) fn refused(refused: Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::UnknownKind(_) => Problem::bad_request(DOMAIN, "unknown_kind", detail),
        Refused::Unknown(_) => Problem::not_found(DOMAIN, "connector_not_found", detail),
        Refused::FileBacked(_) => Problem::conflict(DOMAIN, "connector_file_backed", detail),
        Refused::Fixed(..) => Problem::conflict(DOMAIN, "setting_fixed", detail),
        Refused::Stale(_) => Problem::new(StatusCode::PRECONDITION_FAILED, DOMAIN, "revision_mismatch", detail),
        Refused::Invalid(broken) => invalid(detail, broken),
        Refused::Referred(_, referrers) => {
            let errors = referrers.into_iter().map(|(id, pointer)| FieldError { detail: id.to_string(), pointer });
            Problem::conflict(DOMAIN, "connector_referenced", detail).with_errors(errors.collect())
        }
        Refused::Vault(error) => super::secrets::failed(error),
        Refused::Store(error) => error.into(),
    }
}

/// A secret that is not there is a 404 of its own (contract section 2.6), unless more than that is wrong.
fn invalid(detail: String, broken: Vec<Broken>) -> Problem {
    let only_secrets = !broken.is_empty() && broken.iter().all(|broken| broken.missing_secret);
    let problem = if only_secrets {
        Problem::not_found(DOMAIN, "secret_not_found", detail)
    } else {
        Problem::bad_request(DOMAIN, "invalid_connector", detail)
    };
    problem
        .with_errors(broken.into_iter().map(|Broken { pointer, detail, .. }| FieldError { pointer, detail }).collect())
}
