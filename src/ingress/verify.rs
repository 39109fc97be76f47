//! Authentication of callers by the recipes of a kind's manifest, in constant time, before any guest code runs.
//!
//! Two steps, so that nothing is read before it must be: what the head can show, then what the body's bytes must match.
//! Every recipe whose secret is configured has to pass (contract section 3.2).

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::{
    connectors::manifest::{Hash, HmacRecipe, Manifest, Recipe},
    secrets::SecretSet,
};

pub mod sign;
mod template;

use template::{Piece, Request};

/// The recipes of one connector, keys prepared.
pub struct Verifier {
    checks: Vec<Check>,
    consumed: Vec<String>,
}

/// Why a caller was not let in: 401. The detail never holds a secret or an expected value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Stable.
    pub code: &'static str,
    /// What to change.
    pub detail: String,
}

/// What the head has shown, for the second step.
#[derive(Debug)]
pub struct Head {
    method: String,
    target: String,
    /// Timestamp as received and signature bytes of each HMAC check, in their order.
    signatures: Vec<(String, Vec<u8>)>,
}

struct Check {
    id: String,
    test: Test,
}

enum Test {
    /// SHA-256 of the token: digests are compared, so that neither content nor length shows in the time it takes.
    Bearer([u8; 32]),
    HeaderEquals {
        header: String,
        digest: [u8; 32],
    },
    Hmac(Box<HmacTest>),
}

struct HmacTest {
    recipe: HmacRecipe,
    template: Vec<Piece>,
    key: Key,
    max_age_secs: u64,
}

/// A key with its first blocks already hashed.
enum Key {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Verifier {
    /// Takes the recipes whose secret is configured.
    pub fn new(manifest: &Manifest, settings: &Value, secrets: &SecretSet) -> Self {
        let mut checks = Vec::new();
        let mut consumed = Vec::new();
        for recipe in &manifest.verification {
            let Some(secret) = secrets.get(recipe.slot()) else { continue };
            let test = match recipe {
                Recipe::Bearer { .. } => {
                    consumed.push(header::AUTHORIZATION.as_str().to_owned());
                    Test::Bearer(Sha256::digest(secret.expose()).into())
                }
                Recipe::HeaderEquals { header, .. } => {
                    consumed.push(header.clone());
                    Test::HeaderEquals { header: header.clone(), digest: Sha256::digest(secret.expose()).into() }
                }
                Recipe::Hmac(recipe) => match Key::new(recipe.algorithm, secret.expose()) {
                    Some(key) => Test::Hmac(Box::new(HmacTest {
                        template: template::parse(&recipe.template),
                        max_age_secs: max_age(recipe, settings),
                        recipe: recipe.clone(),
                        key,
                    })),
                    None => continue,
                },
            };
            checks.push(Check { id: recipe.id().to_owned(), test });
        }
        Self { checks, consumed }
    }

    /// Whether nothing authenticates callers.
    pub fn is_open(&self) -> bool {
        self.checks.is_empty()
    }

    /// Headers whose value is a credential, in lower case.
    pub fn consumed_headers(&self) -> &[String] {
        &self.consumed
    }

    /// Checks everything that the head can show.
    pub fn check_head(&self, method: &str, target: &str, headers: &HeaderMap, now_ms: i64) -> Result<Head, Denied> {
        let mut signatures = Vec::new();
        for check in &self.checks {
            match &check.test {
                Test::Bearer(digest) => check_bearer(headers, digest)?,
                Test::HeaderEquals { header, digest } => check_header(headers, header, digest)?,
                Test::Hmac(test) => signatures.push(test.read_head(headers, now_ms)?),
            }
        }
        Ok(Head { method: method.to_owned(), target: target.to_owned(), signatures })
    }

    /// Checks what the body must match; the name of the last recipe that passed, none on an open connector.
    pub fn check_body(&self, head: &Head, body: &[u8]) -> Result<Option<String>, Denied> {
        let mut signatures = head.signatures.iter();
        for check in &self.checks {
            if let Test::Hmac(test) = &check.test {
                let Some((timestamp, signature)) = signatures.next() else {
                    return Err(denied("missing_signature", "the request is not signed".to_owned()));
                };
                let request = Request { method: &head.method, target: &head.target, timestamp, body };
                if !test.key.verify(&test.template, &request, signature) {
                    let detail = format!(
                        "`{}` does not match the request: sign {} with the connector's secret, over the exact bytes that are sent",
                        test.recipe.signature_header, test.recipe.template
                    );
                    return Err(denied("invalid_signature", detail));
                }
            }
        }
        Ok(self.checks.last().map(|check| check.id.clone()))
    }
}

fn max_age(recipe: &HmacRecipe, settings: &Value) -> u64 {
    let setting = recipe.max_age_setting.as_ref().and_then(|name| settings.get(name)?.as_u64());
    setting.unwrap_or(recipe.max_age_secs)
}

fn check_bearer(headers: &HeaderMap, digest: &[u8; 32]) -> Result<(), Denied> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (all.next(), all.next()) {
        (Some(value), None) => value,
        (None, _) => return Err(denied("missing_token", "send `Authorization: Bearer <token>`".to_owned())),
        (Some(_), Some(_)) => return Err(denied("malformed_token", "send one Authorization header".to_owned())),
    };
    match value.as_bytes().strip_prefix(b"Bearer ") {
        Some(token) if equal(token, digest) => Ok(()),
        Some(_) => Err(denied("invalid_token", "the bearer token is not this connector's".to_owned())),
        None => {
            Err(denied("malformed_token", "the Authorization header is not of the form `Bearer <token>`".to_owned()))
        }
    }
}

fn check_header(headers: &HeaderMap, name: &str, digest: &[u8; 32]) -> Result<(), Denied> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) if equal(value.as_bytes(), digest) => Ok(()),
        (Some(_), None) => Err(denied("invalid_token", format!("`{name}` does not hold this connector's secret"))),
        (None, _) => Err(denied("missing_token", format!("send `{name}` with the connector's secret"))),
        (Some(_), Some(_)) => Err(denied("malformed_token", format!("send `{name}` once"))),
    }
}

fn equal(sent: &[u8], digest: &[u8; 32]) -> bool {
    Sha256::digest(sent).as_slice().ct_eq(digest).into()
}

impl HmacTest {
    /// Timestamp as received, and the signature's bytes.
    fn read_head(&self, headers: &HeaderMap, now_ms: i64) -> Result<(String, Vec<u8>), Denied> {
        let timestamp = match &self.recipe.timestamp_header {
            Some(name) => self.read_timestamp(headers, name, now_ms)?,
            None => String::new(),
        };
        let name = &self.recipe.signature_header;
        let value = single(headers, name, "signature")?;
        let malformed = || {
            let detail = format!("`{name}` is not `{}` followed by the signature", self.recipe.signature_prefix);
            denied("malformed_signature", detail)
        };
        let text = value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix(&self.recipe.signature_prefix))
            .ok_or_else(malformed)?;
        let signature = template::decode(self.recipe.encoding, text).filter(|bytes| bytes.len() == self.key.length());
        Ok((timestamp, signature.ok_or_else(malformed)?))
    }

    fn read_timestamp(&self, headers: &HeaderMap, name: &str, now_ms: i64) -> Result<String, Denied> {
        let value = single(headers, name, "timestamp")?;
        let text =
            value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = text.and_then(|text| text.parse::<u64>().ok());
        let (Some(text), Some(seconds)) = (text, seconds) else {
            let detail = format!("`{name}` is not a Unix time in whole seconds");
            return Err(denied("malformed_timestamp", detail));
        };
        let skew = u64::try_from(now_ms / 1000).unwrap_or(0).abs_diff(seconds);
        if skew > self.max_age_secs {
            let limit = self.max_age_secs;
            let detail = format!(
                "`{name}` is {skew} s away from this host's clock, the limit is {limit} s: sign anew, and check both clocks"
            );
            return Err(denied("stale_timestamp", detail));
        }
        Ok(text.to_owned())
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &str, what: &str) -> Result<&'h HeaderValue, Denied> {
    let mut all = headers.get_all(name).iter();
    let (missing, malformed) = match what {
        "timestamp" => ("missing_timestamp", "malformed_timestamp"),
        _ => ("missing_signature", "malformed_signature"),
    };
    match (all.next(), all.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(denied(missing, format!("send the {what} in `{name}`"))),
        (Some(_), Some(_)) => Err(denied(malformed, format!("send `{name}` once"))),
    }
}

impl Key {
    fn new(algorithm: Hash, secret: &[u8]) -> Option<Self> {
        match algorithm {
            Hash::Sha1 => Hmac::new_from_slice(secret).ok().map(Self::Sha1),
            Hash::Sha256 => Hmac::new_from_slice(secret).ok().map(Self::Sha256),
            Hash::Sha512 => Hmac::new_from_slice(secret).ok().map(Self::Sha512),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Sha1(_) => 20,
            Self::Sha256(_) => 32,
            Self::Sha512(_) => 64,
        }
    }

    /// Feeds the template piece by piece, so that the signed text is never built, and compares in constant time.
    fn verify(&self, template: &[Piece], request: &Request<'_>, signature: &[u8]) -> bool {
        match self {
            Self::Sha1(key) => feed(key.clone(), template, request).verify_slice(signature).is_ok(),
            Self::Sha256(key) => feed(key.clone(), template, request).verify_slice(signature).is_ok(),
            Self::Sha512(key) => feed(key.clone(), template, request).verify_slice(signature).is_ok(),
        }
    }
}

fn feed<M: Mac>(mut mac: M, template: &[Piece], request: &Request<'_>) -> M {
    template.iter().for_each(|piece| mac.update(piece.bytes(request)));
    mac
}

fn denied(code: &'static str, detail: String) -> Denied {
    Denied { code, detail }
}

#[cfg(test)]
mod tests;
