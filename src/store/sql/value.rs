//! Arguments of a statement.

use sqlx::{Arguments, error::BoxDynError, postgres::PgArguments, sqlite::SqliteArguments};

use crate::model::ids::{DeliveryId, RunId, SessionId};

/// One argument. Absent values keep their type, because PostgreSQL asks for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number, a time in milliseconds, or a state.
    Int(Option<i64>),
    /// Text, or JSON as text.
    Text(Option<String>),
    /// Bytes.
    Blob(Option<Vec<u8>>),
}

impl Value {
    pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Int(value) => Arguments::add(arguments, value),
            Self::Text(value) => Arguments::add(arguments, value),
            Self::Blob(value) => Arguments::add(arguments, value),
        }
    }

    pub(super) fn add_to_postgres(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Int(value) => Arguments::add(arguments, value),
            Self::Text(value) => Arguments::add(arguments, value),
            Self::Blob(value) => Arguments::add(arguments, value),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Blob(value)
    }
}

impl From<RunId> for Value {
    fn from(value: RunId) -> Self {
        Self::from(value.as_bytes().as_slice())
    }
}

impl From<DeliveryId> for Value {
    fn from(value: DeliveryId) -> Self {
        Self::from(value.as_bytes().as_slice())
    }
}

impl From<&SessionId> for Value {
    fn from(value: &SessionId) -> Self {
        Self::from(value.as_str())
    }
}
