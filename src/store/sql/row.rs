//! Rows, read column by column in the order of the statement.

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::{
    model::ids::{DeliveryId, RunId, SessionId},
    store::StoreError,
};

/// One row of an answer.
pub struct Row {
    inner: Inner,
    next: usize,
}

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self { inner: Inner::Sqlite(row), next: 0 }
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self { inner: Inner::Postgres(row), next: 0 }
    }
}

impl Row {
    /// The next column. Fails where the column is not of this type: a bug in a statement or a damaged store.
    pub fn take<T: Column>(&mut self) -> Result<T, StoreError> {
        let index = self.next;
        self.next += 1;
        T::read(self, index)
    }
}

/// A type that a column can be read as.
pub trait Column: Sized {
    /// Reads column `index`.
    fn read(row: &Row, index: usize) -> Result<Self, StoreError>;
}

macro_rules! plain_column {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read(row: &Row, index: usize) -> Result<Self, StoreError> {
                let value = match &row.inner {
                    Inner::Sqlite(row) => row.try_get(index),
                    Inner::Postgres(row) => row.try_get(index),
                };
                value.map_err(StoreError::Database)
            }
        }
    )*};
}

plain_column!(i64, Option<i64>, String, Option<String>, Vec<u8>, Option<Vec<u8>>);

impl Column for RunId {
    fn read(row: &Row, index: usize) -> Result<Self, StoreError> {
        Self::from_slice(&Vec::read(row, index)?).ok_or(StoreError::Damaged("a run id does not have 16 bytes"))
    }
}

impl Column for DeliveryId {
    fn read(row: &Row, index: usize) -> Result<Self, StoreError> {
        Self::from_slice(&Vec::read(row, index)?).ok_or(StoreError::Damaged("a delivery id does not have 16 bytes"))
    }
}

impl Column for SessionId {
    fn read(row: &Row, index: usize) -> Result<Self, StoreError> {
        Self::parse(&String::read(row, index)?).map_err(|_| StoreError::Damaged("a session id breaks its rules"))
    }
}
