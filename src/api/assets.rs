//! `/v1/assets`: files, taken in and given out as they come.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, auth::Holder};
use crate::{
    assets::{ReceiveError, keep::KeepError, links::escaped},
    model::{
        artifact::{ANY_TYPE, ArtifactReference, check_media_type, check_name},
        run::RunStatus,
    },
    store::{
        assets::{self, Asset},
        runs,
    },
    wire::{extract, problem::Problem},
};

const DOMAIN: &str = "assets";

/// What a file is called.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Its name, up to 255 bytes without control characters.
    name: Option<String>,
    /// Its media type; `application/octet-stream` when absent.
    media_type: Option<String>,
}

/// What is known of a file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Asset)]
pub struct AssetView {
    /// Its id: the SHA-256 of its bytes.
    asset_id: String,
    /// The same, for those who compare.
    sha256: String,
    /// What its first sender called it; for who shows the token of a run, what that run's event called it.
    name: Option<String>,
    /// What it is, by the word of the same.
    media_type: String,
    /// How many bytes it has.
    size: i64,
    /// When it was last uploaded.
    created_at_ms: i64,
}

impl From<Asset> for AssetView {
    fn from(asset: Asset) -> Self {
        let Asset { id, name, media_type, size, created_ms, .. } = asset;
        Self { sha256: id.clone(), asset_id: id, name, media_type, size, created_at_ms: created_ms }
    }
}

/// Keeps a file: the body is its bytes, as they are. The same bytes are kept once.
#[utoipa::path(
    post,
    path = "/v1/assets",
    operation_id = "upload_asset",
    tag = "assets",
    params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is kept, for `assets.orphan_age_ms` or while a run refers to it", body = AssetView),
        (status = 400, description = "invalid_query, incomplete_body"),
        (status = 408, description = "request_timeout"),
        (status = 413, description = "asset_too_large"),
        (status = 507, description = "assets_full"),
    )
)]
pub async fn upload(
    State(api): State<Api>,
    extract::Query(query): extract::Query<UploadQuery>,
    body: Body,
) -> Result<(StatusCode, axum::Json<AssetView>), Problem> {
    let invalid = |field: &str, expected: &str| {
        Problem::bad_request(DOMAIN, "invalid_query", format!("`{field}`: expected {expected}"))
    };
    check_name(query.name.as_deref()).map_err(|expected| invalid("name", expected))?;
    check_media_type(query.media_type.as_deref()).map_err(|expected| invalid("media_type", expected))?;
    let media_type = query.media_type.unwrap_or_else(|| ANY_TYPE.to_owned());
    let received = api.assets.receive(body.into_data_stream()).await.map_err(not_received)?;
    let id = received.id.clone();
    let (own, name) = (api.clone(), query.name);
    let kept = async move { own.assets.keep((&own.store, &own.clock), received, name, media_type).await };
    super::to_its_end(kept).await?.map_err(not_kept)?;
    let asset = assets::find(&api.store, &id).await?.ok_or_else(|| missing(&id))?;
    Ok((StatusCode::CREATED, axum::Json(asset.into())))
}

fn not_received(error: ReceiveError) -> Problem {
    let detail = error.to_string();
    match error {
        ReceiveError::TooLarge(_) => {
            tracing::info!("{detail}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, DOMAIN, "asset_too_large", format!("{detail}: send less"))
        }
        ReceiveError::Idle(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, DOMAIN, "request_timeout", detail),
        ReceiveError::Incomplete(_) => Problem::bad_request(DOMAIN, "incomplete_body", detail),
        ReceiveError::Disk(error) => disk_failed(&error),
    }
}

fn not_kept(error: KeepError) -> Problem {
    match error {
        KeepError::Full(_) => {
            tracing::warn!("a file was refused: {error}");
            let detail = format!("{error}: files that no run refers to go after assets.orphan_age_ms");
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, DOMAIN, "assets_full", detail)
        }
        KeepError::Disk(error) => disk_failed(&error),
        KeepError::Store(error) => error.into(),
    }
}

fn disk_failed(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "the folder of files failed: {error}");
    Problem::unavailable(DOMAIN, "service_unavailable", "the folder of files failed; the daemon's log says how")
}

fn missing(id: &str) -> Problem {
    Problem::not_found(DOMAIN, "asset_not_found", format!("there is no asset `{id}`"))
}

/// Whoever shows the token of a run gets files of that run, under the names that its event gave them, while the lease that the
/// token came with lasts. Others get any file, as it was uploaded.
async fn admit(api: &Api, holder: Option<Extension<Holder>>, id: &str) -> Result<ArtifactReference, Problem> {
    let Some(Extension(Holder { run, epoch })) = holder else {
        return Ok(ArtifactReference { asset_id: id.to_owned(), name: None, media_type: None });
    };
    let performed = match run.parse() {
        Ok(id) => runs::get(&api.store, id).await?,
        Err(_) => None,
    };
    let performed = performed.filter(|found| found.status == RunStatus::Running && found.epoch == epoch);
    let performed = performed.ok_or_else(|| {
        let detail = format!("the lease of `{run}` at epoch {epoch} is over, and with it the way to its files");
        Problem::conflict("runs", "lease_lost", detail)
    })?;
    if assets::is_held(&api.store, performed.id, id).await? { Ok(performed.request.file(id)) } else { Err(missing(id)) }
}

/// What is known of a file, by the name and the type that its reference gives it.
async fn look_up(api: &Api, file: ArtifactReference) -> Result<Asset, Problem> {
    let ArtifactReference { asset_id, name, media_type } = file;
    let kept = assets::find(&api.store, &asset_id).await?.ok_or_else(|| missing(&asset_id))?;
    Ok(Asset { name: name.or(kept.name), media_type: media_type.unwrap_or(kept.media_type), ..kept })
}

/// What is known of a file.
///
/// The token of a run that was sent out opens this for files of that run.
#[utoipa::path(
    get,
    path = "/v1/assets/{id}",
    operation_id = "get_asset",
    tag = "assets",
    params(("id" = String, Path, description = "The asset's id")),
    responses(
        (status = 200, description = "The file", body = AssetView),
        (status = 404, description = "asset_not_found"),
        (status = 409, description = "lease_lost"),
    )
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    holder: Option<Extension<Holder>>,
) -> Result<axum::Json<AssetView>, Problem> {
    let file = admit(&api, holder, &id).await?;
    Ok(axum::Json(look_up(&api, file).await?.into()))
}

/// A link's own proof, and a name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RawQuery {
    /// From the link that a delivery carries; stands in place of an operator's token.
    token: Option<String>,
    /// What the file is called in the answer; when absent as it was uploaded, or as the event of the run called it whose token is
    /// shown. With a link its id is its name then.
    name: Option<String>,
}

/// A file's bytes, or one range of them.
///
/// Never rendered by a browser: the type is the sender's word. The token of a run that was sent out opens this for files of
/// that run.
#[utoipa::path(
    get,
    path = "/v1/assets/{id}/raw",
    operation_id = "get_asset_bytes",
    tag = "assets",
    params(("id" = String, Path, description = "The asset's id"), RawQuery),
    responses(
        (status = 200, description = "The bytes, under the media type that their sender gave", content_type = "*/*"),
        (status = 206, description = "The range that was asked for", content_type = "*/*"),
        (status = 401, description = "invalid_link"),
        (status = 304, description = "They are as `If-None-Match` says"),
        (status = 404, description = "asset_not_found"),
        (status = 409, description = "lease_lost"),
        (status = 410, description = "asset_gone"),
        (status = 416, description = "range_not_satisfiable"),
    )
)]
pub async fn raw(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    extract::Query(query): extract::Query<RawQuery>,
    holder: Option<Extension<Holder>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = admit(&api, holder, &id).await?;
    let is_let_in = |token: &String| api.assets.links().is_good(&id, token, api.clock.now_ms());
    if query.token.as_ref().is_some_and(|token| !is_let_in(token)) {
        return Err(missing(&id));
    }
    // Whoever has no more than a link is not told what others call the file.
    let nameless = query.token.as_ref().map(|_| id);
    serve(&api, ArtifactReference { name: query.name.or(file.name).or(nameless), ..file }, &headers).await
}

/// Hands out a file's bytes to somebody who may have them.
pub(super) async fn serve(api: &Api, file: ArtifactReference, headers: &HeaderMap) -> Result<Response, Problem> {
    let asset = look_up(api, file).await?;
    let id = &asset.id;
    let size = u64::try_from(asset.size).unwrap_or(0);
    let etag = format!("\"{id}\"");
    let sent = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if sent(header::IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.contains(&etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let wanted = sent(header::RANGE).filter(|_| sent(header::IF_RANGE).is_none_or(|tag| tag == etag));
    let (status, start, length) = match wanted.map(|range| single_range(range, size)) {
        None | Some(Asked::All) => (StatusCode::OK, 0, size),
        Some(Asked::Part(start, length)) => (StatusCode::PARTIAL_CONTENT, start, length),
        Some(Asked::Nothing) => {
            let detail = format!("asset `{id}` has {size} bytes: ask for a range within them");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, DOMAIN, "range_not_satisfiable", detail);
            let range = HeaderValue::try_from(format!("bytes */{size}"));
            return Err(range
                .into_iter()
                .fold(problem, |problem, range| problem.with_header(header::CONTENT_RANGE, range)));
        }
    };
    let mut response = Response::new(bytes(api, &asset, start, length).await?);
    *response.status_mut() = status;
    describe(response.headers_mut(), &asset, etag, length);
    if status == StatusCode::PARTIAL_CONTENT {
        set(response.headers_mut(), header::CONTENT_RANGE, format!("bytes {start}-{}/{size}", start + length - 1));
    }
    Ok(response)
}

async fn bytes(api: &Api, asset: &Asset, start: u64, length: u64) -> Result<Body, Problem> {
    let id = &asset.id;
    let gone = || {
        tracing::error!(asset = %id, "file {id} is gone from the folder, or is not whole");
        let detail = format!("the bytes of asset `{id}` are gone: upload the file again");
        Problem::new(StatusCode::GONE, DOMAIN, "asset_gone", detail)
    };
    if asset.in_folder {
        let size = u64::try_from(asset.size).unwrap_or(0);
        let reading = api.assets.read(id, size).await.map_err(|error| disk_failed(&error))?.ok_or_else(gone)?;
        let stream = reading.stream(start, length).await.map_err(|error| disk_failed(&error))?;
        return Ok(Body::from_stream(stream));
    }
    let data = assets::data(&api.store, id).await?.ok_or_else(|| missing(id))?;
    let (start, length) = (usize::try_from(start).unwrap_or(0), usize::try_from(length).unwrap_or(0));
    Ok(Body::from(axum::body::Bytes::from(data).slice(start..start + length)))
}

fn describe(headers: &mut HeaderMap, asset: &Asset, etag: String, length: u64) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A media type that cannot stand in a header would otherwise be our fault, not the sender's.
    set(headers, header::CONTENT_TYPE, asset.media_type.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, header::ETAG, etag);
    set(headers, header::CONTENT_LENGTH, length.to_string());
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if let Some(name) = &asset.name {
        set(headers, header::CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", escaped(name)));
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Everything: not one range of bytes, which a server may overlook.
    All,
    /// From here on, so many.
    Part(u64, u64),
    /// What is not there.
    Nothing,
}

fn single_range(range: &str, size: u64) -> Asked {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::All;
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(end)) if start <= end => (start, end.saturating_add(1).min(size)),
        (Some(start), None) if last.is_empty() => (start, size),
        (None, Some(suffix)) if first.is_empty() => (size - suffix.min(size), size),
        _ => return Asked::All,
    };
    if start < end { Asked::Part(start, end - start) } else { Asked::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_file() {
        let cases = [
            ("bytes=0-0", Asked::Part(0, 1)),
            ("bytes=2-", Asked::Part(2, 8)),
            ("bytes=2-99", Asked::Part(2, 8)),
            ("bytes=-3", Asked::Part(7, 3)),
            ("bytes=-99", Asked::Part(0, 10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-2", Asked::All),
            ("bytes=0-1,3-4", Asked::All),
            ("lines=0-1", Asked::All),
        ];
        for (range, asked) in cases {
            assert_eq!(single_range(range, 10), asked, "{range}");
        }
        assert_eq!(single_range("bytes=0-", 0), Asked::Nothing);
    }
}
