//! Where a secret is put in a request on its way out.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;

use super::prepare::{self, Refused};
use crate::{
    connectors::wasm::bindings::kheish::connector::http::{
        Credential, HeaderCredential, PathCredential, QueryCredential,
    },
    secrets::{Secret, mask},
};

/// Length of a marker in a path, in bytes.
const MARKER_BYTES: std::ops::RangeInclusive<usize> = 4..=64;

/// What may stand in a path beside letters and digits without an escape.
const PLAIN_IN_PATHS: &[u8] = b"-._~:@!$&'()*+,;=";

/// Puts a secret where the credential says. What cannot be masked in an answer is not sent.
pub(super) fn place(
    credential: &Credential,
    secret: &Secret,
    url: &mut Url,
    headers: &mut HeaderMap,
) -> Result<(), Refused> {
    if !mask::covers(secret) {
        return deny("a secret has 6 to 4,096 bytes where it is sent: others could not be masked in the answer");
    }
    match credential {
        Credential::Bearer(_) => in_header(header::AUTHORIZATION, "Bearer ", secret, headers),
        Credential::Header(HeaderCredential { name, prefix, .. }) => {
            in_header(prepare::name(name)?, prefix, secret, headers)
        }
        Credential::Path(PathCredential { marker, .. }) => in_path(marker, secret, url),
        Credential::Query(QueryCredential { name, .. }) => in_query(name, secret, url),
    }
}

fn deny<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Denied(reason.into()))
}

fn in_header(name: HeaderName, prefix: &str, secret: &Secret, headers: &mut HeaderMap) -> Result<(), Refused> {
    let Ok(mut value) = HeaderValue::from_bytes(&[prefix.as_bytes(), secret.expose()].concat()) else {
        return deny(format!("the secret or its prefix cannot stand in the header `{name}`"));
    };
    value.set_sensitive(true);
    if headers.contains_key(&name) {
        return deny(format!("the header `{name}` is there twice"));
    }
    headers.insert(name, value);
    Ok(())
}

fn in_path(marker: &str, secret: &Secret, url: &mut Url) -> Result<(), Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !MARKER_BYTES.contains(&marker.len()) || !marker.bytes().all(plain) {
        return deny("a marker is 4 to 64 letters, digits, `_` and `-`");
    }
    // Overlapping ones count too: they are no place that could be meant.
    let found = url.path().as_bytes().windows(marker.len()).filter(|window| *window == marker.as_bytes()).count();
    if found != 1 {
        return deny(format!("the marker `{marker}` is in the path {found} times, and once is expected"));
    }
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || PLAIN_IN_PATHS.contains(byte);
    let secret = match std::str::from_utf8(secret.expose()) {
        Ok(secret) if secret.as_bytes().iter().all(fits) => secret,
        _ => return deny("the secret has letters that cannot stand in a path"),
    };
    let path = url.path().replacen(marker, secret, 1);
    url.set_path(&path);
    Ok(())
}

fn in_query(name: &str, secret: &Secret, url: &mut Url) -> Result<(), Refused> {
    if name.is_empty() || url.query_pairs().any(|(other, _)| other == name) {
        return deny("the name of a parameter is empty or in the query already");
    }
    let mut query = url.query().map(|query| format!("{query}&")).unwrap_or_default();
    query.push_str(&escaped(name.as_bytes()));
    query.push('=');
    query.push_str(&escaped(secret.expose()));
    url.set_query(Some(&query));
    Ok(())
}

/// In the form in which the mask knows it.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
