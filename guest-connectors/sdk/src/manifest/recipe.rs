//! Verification recipes: how the host authenticates a caller before any code of the connector runs.

use serde::Serialize;

/// One way to authenticate a caller. It applies when the secret in its slot is configured.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "scheme", rename_all = "snake_case")]
pub enum Recipe {
    /// `Authorization: Bearer <secret>`.
    Bearer {
        /// The recipe's name; a request that passed it says so in `authenticated_by`.
        id: &'static str,
        /// The slot of the secret.
        slot: &'static str,
    },
    /// A header whose value is the secret.
    HeaderEquals {
        /// The recipe's name; a request that passed it says so in `authenticated_by`.
        id: &'static str,
        /// The slot of the secret.
        slot: &'static str,
        /// The header, in lower case.
        header: &'static str,
    },
    /// An HMAC over a template of the request.
    Hmac(Hmac),
}

impl From<Hmac> for Recipe {
    fn from(hmac: Hmac) -> Self {
        Self::Hmac(hmac)
    }
}

/// An HMAC over a template of the request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hmac {
    /// The recipe's name; a request that passed it says so in `authenticated_by`.
    pub id: &'static str,
    /// The slot of the key.
    pub slot: &'static str,
    /// The hash function.
    pub algorithm: Hash,
    /// What is signed: text with `{method}`, `{target}` (path and query as received), `{timestamp}` and `{body}`.
    pub template: &'static str,
    /// The header with the signature, in lower case.
    pub signature_header: &'static str,
    /// What stands before the signature in that header.
    pub signature_prefix: &'static str,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The header with the Unix time in seconds, in lower case. Needed by `{timestamp}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<&'static str>,
    /// How many seconds the timestamp may differ from now, either way; the host's default is 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_secs: Option<u64>,
    /// A setting (integer, seconds) that overrides `max_age_secs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_setting: Option<&'static str>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-1; only for platforms that know nothing better.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal, either case.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}
