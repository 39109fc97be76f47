//! The caller's side of verification: a request signed as a connector's callers sign theirs, so that operators can try one
//! out without holding its secrets.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::template::{self, Request};
use crate::{
    connectors::manifest::{Encoding, Hash, HmacRecipe, Manifest, Recipe},
    secrets::{Secret, SecretSet},
};

/// A request that is not yet signed.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'r> {
    /// `POST`, …
    pub method: &'r str,
    /// Path and query.
    pub target: &'r str,
    /// The body.
    pub body: &'r [u8],
    /// When it is sent, in milliseconds since 1970.
    pub now_ms: i64,
}

/// The headers that make every recipe pass whose secret is configured: names and values, in the order of recipes.
pub fn headers(manifest: &Manifest, secrets: &SecretSet, request: Unsigned<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for recipe in &manifest.verification {
        let Some(secret) = secrets.get(recipe.slot()) else { continue };
        match recipe {
            Recipe::Bearer { .. } => headers.push(("authorization".to_owned(), prefixed("Bearer ", secret))),
            Recipe::HeaderEquals { header, .. } => headers.push((header.clone(), secret.clone())),
            Recipe::Hmac(recipe) => {
                let timestamp = (request.now_ms / 1000).to_string();
                headers.push((recipe.signature_header.clone(), signature(recipe, secret, request, &timestamp)));
                headers.extend(recipe.timestamp_header.clone().map(|name| (name, Secret::new(timestamp))));
            }
        }
    }
    headers
}

fn prefixed(prefix: &str, secret: &Secret) -> Secret {
    Secret::new([prefix.as_bytes(), secret.expose()].concat())
}

fn signature(recipe: &HmacRecipe, secret: &Secret, request: Unsigned<'_>, timestamp: &str) -> Secret {
    let request = Request { method: request.method, target: request.target, timestamp, body: request.body };
    let pieces = template::parse(&recipe.template);
    let signed = pieces.iter().map(|piece| piece.bytes(&request));
    let mac = match recipe.algorithm {
        Hash::Sha1 => mac::<Hmac<Sha1>>(secret, signed),
        Hash::Sha256 => mac::<Hmac<Sha256>>(secret, signed),
        Hash::Sha512 => mac::<Hmac<Sha512>>(secret, signed),
    };
    let written = match recipe.encoding {
        Encoding::Hex => hex::encode(mac),
        Encoding::Base64 => STANDARD.encode(mac),
    };
    Secret::new(format!("{}{written}", recipe.signature_prefix))
}

fn mac<'p, M: Mac + KeyInit>(secret: &Secret, pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret.expose()) else { return Vec::new() };
    pieces.for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}
