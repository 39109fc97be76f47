//! Identifiers: what they look like outside, and how they are parsed back.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use uuid::Uuid;

/// The text is not an identifier of this kind.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an identifier of the form `{1}` followed by 32 hexadecimal digits")]
pub struct InvalidId(String, &'static str);

macro_rules! time_ordered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID; time-ordered ones (version 7) keep the store's indexes append-only.
            pub fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The sixteen bytes that the store keeps.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the sixteen bytes that the store keeps.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.len() == 32)
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId(text.to_owned(), $prefix))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let pattern = concat!("^", $prefix, "[0-9a-f]{32}$");
                ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

time_ordered_id!(
    /// One run, `run_` and 32 hexadecimal digits outside.
    RunId,
    "run_"
);
time_ordered_id!(
    /// One delivery, `delivery_` and 32 hexadecimal digits outside.
    DeliveryId,
    "delivery_"
);

/// The identifier of a durable session: caller-chosen or derived text, 1 to 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(min_length = 1, max_length = 256)]
pub struct SessionId(String);

/// Why a text cannot name a session.
#[derive(Debug, thiserror::Error)]
#[error("a session id has 1 to 256 bytes, no control characters, and is neither `.` nor `..`")]
pub struct InvalidSessionId;

impl SessionId {
    /// Takes a text that follows the rules of [`InvalidSessionId`] (contract section 1.8).
    pub fn parse(text: &str) -> Result<Self, InvalidSessionId> {
        let allowed =
            (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) && text != "." && text != "..";
        if allowed { Ok(Self(text.to_owned())) } else { Err(InvalidSessionId) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One configured instance of a kind: `http/orders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectorId {
    /// The kind that a plugin provides.
    pub kind: String,
    /// The operator's name for this instance; unique within the kind.
    pub name: String,
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl ConnectorId {
    /// A name that is safe in a route, a file name and a log line: 1 to 64 characters of `a-z A-Z 0-9 . _ -`, not
    /// starting with a dot (stricter than the reference, contract section 10.2 rows 11 and 32).
    pub fn name_is_valid(name: &str) -> bool {
        (1..=64).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
}
