//! `/v1/assets`: the bytes of a file.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::Api;
use crate::{
    store::assets,
    wire::{extract, problem::Problem},
};

/// A file's bytes.
///
/// Never rendered by a browser: the type is the sender's word.
#[utoipa::path(
    get,
    path = "/v1/assets/{id}/raw",
    operation_id = "get_asset_bytes",
    tag = "assets",
    params(("id" = String, Path, description = "The asset's id")),
    responses(
        (status = 200, description = "The bytes, under the media type that their sender gave", content_type = "*/*"),
        (status = 404, description = "asset_not_found"),
    )
)]
pub async fn raw(State(api): State<Api>, extract::Path(id): extract::Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("assets", "asset_not_found", format!("there is no asset `{id}`"));
    let (media_type, data) = assets::get(&api.store, &id).await?.ok_or_else(missing)?;
    let headers = [
        (header::CONTENT_TYPE, media_type.as_str()),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    // A media type that cannot stand in a header would otherwise be our fault, not the sender's.
    if media_type.parse::<axum::http::HeaderValue>().is_err() {
        return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], data).into_response());
    }
    Ok((headers, data).into_response())
}
