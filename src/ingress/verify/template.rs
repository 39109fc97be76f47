//! What an HMAC is taken over: literal text and pieces of the request.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::connectors::manifest::Encoding;

/// The pieces that a template can name.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) target: &'r str,
    pub(super) timestamp: &'r str,
    pub(super) body: &'r [u8],
}

/// One piece of a template.
pub(super) enum Piece {
    Text(String),
    Method,
    Target,
    Timestamp,
    Body,
}

impl Piece {
    pub(super) fn bytes<'r>(&'r self, request: &Request<'r>) -> &'r [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Method => request.method.as_bytes(),
            Self::Target => request.target.as_bytes(),
            Self::Timestamp => request.timestamp.as_bytes(),
            Self::Body => request.body,
        }
    }
}

/// Cuts a template into pieces. What is no placeholder is text; manifests with unknown placeholders were refused.
pub(super) fn parse(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(match name {
            "method" => Piece::Method,
            "target" => Piece::Target,
            "timestamp" => Piece::Timestamp,
            "body" => Piece::Body,
            other => Piece::Text(format!("{{{other}}}")),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

/// The bytes of a written signature.
pub(super) fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}
