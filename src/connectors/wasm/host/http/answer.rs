//! What comes back: read and masked for the guest, or kept as a file.

use std::time::Duration;

use futures_util::stream;
use http::header;

use super::{error, failed};
use crate::{
    connectors::{
        files::{Files, NotTaken},
        wasm::{
            RequestSettings,
            bindings::kheish::connector::{
                http::{Error, ErrorKind, Response},
                types::Header,
            },
        },
    },
    egress::Stream,
    secrets::mask,
};

/// Headers that are about the connection, which is not the guest's.
const OF_THE_CONNECTION: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "upgrade"];

/// Reads an answer whole. Secrets that this daemon knows never reach the guest.
pub(super) async fn read(
    mut answer: Stream,
    settings: &RequestSettings,
    patience: Duration,
) -> Result<Response, Error> {
    let headers = headers(&answer, settings.header_bytes)?;
    let most = settings.response_bytes;
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > most => {
                let reason = format!("the answer's body has more than {most} bytes (guests.requests.response_bytes)");
                return Err(error(ErrorKind::TooLarge, &reason, true));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // It has begun to answer: whatever became of the connection, the request had arrived.
            Err(broken) => return Err(Error { sent: true, ..failed(broken, patience) }),
        }
    }
    let (status, body) = (answer.status.as_u16(), mask::mask_bytes(&body).into_owned());
    Ok(Response { status, headers, body, asset_id: None })
}

/// Streams the body of an answer into a file. The guest never holds it, so nothing in it is masked.
pub(super) async fn keep(
    answer: Stream,
    name: String,
    files: &dyn Files,
    settings: &RequestSettings,
) -> Result<Response, Error> {
    let headers = headers(&answer, settings.header_bytes)?;
    let status = answer.status.as_u16();
    let media_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let pieces = stream::try_unfold(answer, |mut answer| async move {
        let piece = answer.chunk().await.map_err(|error| error.to_string())?;
        Ok(piece.map(|piece| (piece, answer)))
    });
    match files.take_in(name, media_type, Box::pin(pieces)).await {
        Ok(id) => Ok(Response { status, headers, body: Vec::new(), asset_id: Some(id) }),
        Err(NotTaken::TooLarge(reason)) => Err(error(ErrorKind::TooLarge, &reason, true)),
        Err(NotTaken::Incomplete(reason)) => Err(error(ErrorKind::Transport, &reason, true)),
        Err(NotTaken::Host(cause)) => {
            tracing::error!("a file that a guest fetched could not be kept: {cause:#}");
            Err(error(ErrorKind::Transport, "the host could not keep the file; its log says why", true))
        }
    }
}

fn headers(answer: &Stream, most: usize) -> Result<Vec<Header>, Error> {
    let all = &answer.headers;
    let size: usize = all.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > most {
        let reason = format!("the headers of the answer have more than {most} bytes (guests.requests.header_bytes)");
        return Err(error(ErrorKind::TooLarge, &reason, true));
    }
    let wanted = all.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    let wanted = wanted.map(|(name, value)| Header {
        name: name.to_string(),
        value: String::from_utf8_lossy(&mask::mask_bytes(value.as_bytes())).into_owned(),
    });
    Ok(wanted.collect())
}
