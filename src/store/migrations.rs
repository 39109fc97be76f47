//! The tables, as numbered steps, written once: SQLite's text, of which PostgreSQL's differs in the names of types.

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::sql::Dialect;

/// Every step: number, name, text.
const STEPS: [(i64, &str, &str); 18] = [
    (1, "initial", include_str!("migrations/0001_initial.sql")),
    (2, "operators", include_str!("migrations/0002_operators.sql")),
    (3, "delivery", include_str!("migrations/0003_delivery.sql")),
    (4, "retention", include_str!("migrations/0004_retention.sql")),
    (5, "dead_letters", include_str!("migrations/0005_dead_letters.sql")),
    (6, "executors", include_str!("migrations/0006_executors.sql")),
    (7, "assets", include_str!("migrations/0007_assets.sql")),
    (8, "pauses", include_str!("migrations/0008_pauses.sql")),
    (9, "turns", include_str!("migrations/0009_turns.sql")),
    (10, "look_ups", include_str!("migrations/0010_look_ups.sql")),
    (11, "choice", include_str!("migrations/0011_choice.sql")),
    (12, "downloads", include_str!("migrations/0012_downloads.sql")),
    (13, "named_executors", include_str!("migrations/0013_named_executors.sql")),
    (14, "gatherings", include_str!("migrations/0014_gatherings.sql")),
    (15, "duties", include_str!("migrations/0015_duties.sql")),
    (16, "downloads_by_connector", include_str!("migrations/0016_downloads_by_connector.sql")),
    (17, "duties_go", include_str!("migrations/0017_duties_go.sql")),
    (18, "front", include_str!("migrations/0018_front.sql")),
];

/// SQLite's words and PostgreSQL's, which knows no row ids.
const POSTGRES: [(&str, &str); 3] = [(" INTEGER", " BIGINT"), (" BLOB", " BYTEA"), (" WITHOUT ROWID", "")];

/// The steps for one database.
pub fn for_dialect(dialect: Dialect) -> Migrator {
    let steps = STEPS.into_iter().map(|(number, name, text)| {
        let text = AssertSqlSafe(translated(dialect, text)).into_sql_str();
        Migration::new(number, name.into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(steps.collect())
}

fn translated(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Sqlite => text.to_owned(),
        Dialect::Postgres => POSTGRES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)),
    }
}
