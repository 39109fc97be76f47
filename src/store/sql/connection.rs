//! Connections and pools of either driver.

use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, SqliteConnection, SqlitePool, postgres::PgArguments, sqlite::SqliteArguments,
};

use super::{Query, Row};
use crate::store::StoreError;

/// What the two databases say differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One writer, so a claim needs no lock.
    Sqlite,
    /// Many writers.
    Postgres,
}

impl Dialect {
    /// Opens a transaction that may write. SQLite takes the write lock at once: a deferred transaction that reads
    /// first fails when another connection wrote in between.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins an `INSERT` of many rows. One that fails is undone by its transaction or its savepoint, which whoever runs it goes
    /// back to; SQLite need not be ready to undo it alone, for which it would copy each page that changes.
    pub fn insert_many(self) -> &'static str {
        match self {
            Self::Sqlite => "INSERT OR FAIL INTO",
            Self::Postgres => "INSERT INTO",
        }
    }

    /// Ends a `SELECT` that claims rows: locks them, and passes over those that somebody else has locked.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// Ends a `SELECT` of rows that must stay as they are: locks them, and waits for whoever has locked them.
    pub fn for_update_in_turn(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE",
        }
    }
}

/// One connection.
pub enum Connection {
    /// To the embedded database.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConnection),
}

impl Connection {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement that answers with rows.
    pub async fn fetch(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(connection) => fetch_sqlite(&mut *connection, query).await,
            Self::Postgres(connection) => fetch_postgres(&mut *connection, query).await,
        }
    }

    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, query: Query) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let (text, arguments) = for_sqlite(query)?;
                let done = sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await?;
                Ok(done.rows_affected())
            }
            Self::Postgres(connection) => {
                let (text, arguments) = for_postgres(query)?;
                let done = sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await?;
                Ok(done.rows_affected())
            }
        }
    }
}

/// Connections for readers.
#[derive(Clone)]
pub enum Pool {
    /// To the embedded database, read-only.
    Sqlite(SqlitePool),
    /// To a server.
    Postgres(PgPool),
}

impl Pool {
    /// Runs a statement that answers with rows.
    pub async fn fetch(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(pool) => fetch_sqlite(pool, query).await,
            Self::Postgres(pool) => fetch_postgres(pool, query).await,
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

async fn fetch_sqlite<'e>(on: impl sqlx::SqliteExecutor<'e>, query: Query) -> Result<Vec<Row>, StoreError> {
    let (text, arguments) = for_sqlite(query)?;
    let rows = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(on).await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

async fn fetch_postgres<'e>(on: impl sqlx::PgExecutor<'e>, query: Query) -> Result<Vec<Row>, StoreError> {
    let (text, arguments) = for_postgres(query)?;
    let rows = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(on).await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

fn for_sqlite(query: Query) -> Result<(std::borrow::Cow<'static, str>, SqliteArguments), StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in query.arguments {
        value.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
    }
    Ok((query.text, arguments))
}

fn for_postgres(query: Query) -> Result<(String, PgArguments), StoreError> {
    let text = query.numbered();
    let mut arguments = PgArguments::default();
    for value in query.arguments {
        value.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
    }
    Ok((text, arguments))
}
