//! The body of a request: what the guest wrote, and files that are streamed past it.

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::HeaderValue;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::prepare::Refused;
use crate::connectors::{
    files::{ByteStream, Files},
    wasm::bindings::kheish::connector::http::{Body, FormField, FormValue},
};

/// Fields of one form.
const FIELDS: usize = 64;

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As they are.
    Bytes(Vec<u8>),
    /// A file, by its id.
    File(String),
}

/// A body in pieces.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) pieces: Vec<Piece>,
    /// The media type, where the host decides it.
    pub(super) content_type: Option<HeaderValue>,
}

/// Writes a body, as far as it is not files.
pub(super) fn write(body: Body, most: usize) -> Result<Written, Refused> {
    let (pieces, content_type) = match body {
        Body::Empty => (Vec::new(), None),
        Body::Bytes(bytes) => (vec![Piece::Bytes(bytes)], None),
        Body::Asset(id) => (vec![Piece::File(id)], None),
        Body::Multipart(fields) => {
            let boundary = format!("kheish-{:032x}", rand::random::<u128>());
            let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
                .map_err(|error| Refused::Denied(error.to_string()))?;
            (form(&fields, &boundary)?, Some(content_type))
        }
    };
    let own = pieces.iter().map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.len(),
        Piece::File(_) => 0,
    });
    if own.sum::<usize>() > most {
        let reason = format!("the body has more than {most} bytes (guests.requests.body_bytes)");
        return Err(Refused::TooLarge(reason));
    }
    Ok(Written { pieces, content_type })
}

fn form(fields: &[FormField], boundary: &str) -> Result<Vec<Piece>, Refused> {
    if fields.len() > FIELDS {
        return Err(Refused::TooLarge(format!("a form has more than {FIELDS} fields")));
    }
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    for field in fields {
        let file = match &field.value {
            FormValue::Text(_) => None,
            FormValue::Bytes(part) => Some((part.file_name.as_str(), Some(part.media_type.as_str()))),
            FormValue::Asset(part) => Some((part.file_name.as_str(), None)),
        };
        text.extend_from_slice(format!("--{boundary}\r\n{}\r\n", head(&field.name, file)?).as_bytes());
        match &field.value {
            FormValue::Text(value) => text.extend_from_slice(value.as_bytes()),
            FormValue::Bytes(part) => text.extend_from_slice(&part.data),
            FormValue::Asset(part) => {
                pieces.push(Piece::Bytes(std::mem::take(&mut text)));
                pieces.push(Piece::File(part.asset_id.clone()));
            }
        }
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    pieces.push(Piece::Bytes(text));
    Ok(pieces)
}

/// The headers of a field: its name, and of a file its name and media type.
fn head(name: &str, file: Option<(&str, Option<&str>)>) -> Result<String, Refused> {
    let mut head = format!("content-disposition: form-data; name=\"{}\"", escaped(name));
    if let Some((file_name, media_type)) = file {
        let media_type = media_type.unwrap_or("application/octet-stream");
        if HeaderValue::from_str(media_type).is_err() {
            return Err(Refused::Denied("a media type of the form cannot be sent".to_owned()));
        }
        head.push_str(&format!("; filename=\"{}\"\r\ncontent-type: {media_type}", escaped(file_name)));
    }
    head.push_str("\r\n");
    Ok(head)
}

/// As browsers write it: nothing in a name ends it early.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A body that can be sent, with its length, and the media type of a file that is all of it.
pub(super) struct Sendable {
    pub(super) body: reqwest::Body,
    pub(super) length: u64,
    pub(super) media_type: Option<String>,
}

/// Opens the files of a body.
pub(super) async fn open(pieces: Vec<Piece>, files: &dyn Files) -> Result<Sendable, Refused> {
    let mut streams: Vec<ByteStream> = Vec::with_capacity(pieces.len());
    let (mut length, mut media_type, single) = (0, None, pieces.len() == 1);
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) if single => {
                let length = bytes.len() as u64;
                return Ok(Sendable { body: bytes.into(), length, media_type: None });
            }
            Piece::Bytes(bytes) => {
                length += bytes.len() as u64;
                streams.push(Box::pin(stream::iter([Ok(Bytes::from(bytes))])));
            }
            Piece::File(id) => {
                let file = files.open(&id).await.map_err(|error| {
                    tracing::error!(asset = id, "file {id} could not be opened: {error:#}");
                    Refused::Denied(format!("the file `{id}` could not be opened; the log says why"))
                })?;
                let Some(file) = file else { return Err(Refused::Denied(format!("there is no file `{id}`"))) };
                length += file.size;
                media_type = Some(file.media_type).filter(|_| single);
                streams.push(file.bytes);
            }
        }
    }
    if streams.is_empty() {
        return Ok(Sendable { body: Vec::new().into(), length, media_type });
    }
    let all: ByteStream = Box::pin(stream::iter(streams).flatten());
    Ok(Sendable { body: reqwest::Body::wrap(Streamed { pieces: Mutex::new(all), length }), length, media_type })
}

/// A body that comes piece by piece.
struct Streamed {
    /// Never locked: it makes the body one that threads can share.
    pieces: Mutex<ByteStream>,
    length: u64,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        let piece = ready!(pieces.as_mut().poll_next(context));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data).map_err(std::io::Error::other)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connectors::wasm::bindings::kheish::connector::http::{AssetPart, BytesPart};

    fn field(name: &str, value: FormValue) -> FormField {
        FormField { name: name.to_owned(), value }
    }

    #[test]
    fn a_form_reads_as_it_was_meant() {
        let png = "image/png".to_owned();
        let file = BytesPart { data: b"\x00\x01".to_vec(), file_name: "a\"\r\nx: y".to_owned(), media_type: png };
        let asset = AssetPart { asset_id: "abc".to_owned(), file_name: "b".to_owned() };
        let fields = [
            field("chat", FormValue::Text("7".to_owned())),
            field("photo", FormValue::Bytes(file)),
            field("doc", FormValue::Asset(asset)),
        ];
        let before = "--b\r\ncontent-disposition: form-data; name=\"chat\"\r\n\r\n7\r\n\
            --b\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"a%22%0D%0Ax: y\"\r\ncontent-type: image/png\r\n\r\n\
            \x00\x01\r\n--b\r\ncontent-disposition: form-data; name=\"doc\"; filename=\"b\"\r\n\
            content-type: application/octet-stream\r\n\r\n";
        let expected = [
            Piece::Bytes(before.as_bytes().to_vec()),
            Piece::File("abc".to_owned()),
            Piece::Bytes(b"\r\n--b--\r\n".to_vec()),
        ];
        assert_eq!(form(&fields, "b").unwrap(), expected);
        let wrong = BytesPart { data: Vec::new(), file_name: String::new(), media_type: "a\r\nb".to_owned() };
        assert!(form(&[field("", FormValue::Bytes(wrong))], "b").is_err());
    }

    proptest! {
        #[test]
        fn a_name_never_ends_its_header(name in "\\PC{0,20}|[\"\r\n]{0,6}", file in "[\"\r\na-z]{0,12}") {
            let head = head(&name, Some((&file, Some("text/plain")))).unwrap();
            prop_assert_eq!(head.matches('\n').count(), 2);
            prop_assert_eq!(head.matches('"').count(), 4);
        }
    }
}
