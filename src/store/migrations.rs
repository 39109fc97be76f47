//! The tables, as numbered steps. Both databases have the same steps under the same numbers.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::sql::Dialect;

/// The steps for one database.
pub fn for_dialect(dialect: Dialect) -> Migrator {
    let initial = match dialect {
        Dialect::Sqlite => include_str!("migrations/sqlite/0001_initial.sql"),
        Dialect::Postgres => include_str!("migrations/postgres/0001_initial.sql"),
    };
    let steps = [(1, "initial", initial)];
    let steps = steps.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}
