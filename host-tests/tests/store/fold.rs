//! The log of the embedded database is folded back beside the writer.

use std::{fs, path::Path};

use futures_util::future::join_all;
use kheish::{
    metrics::Metrics,
    store::{Store, StoreSettings, sql::Query},
};
use kheish_host_tests::wait::eventually;

use super::Statement;

/// Pages before a fold; the writer itself folds sixteen times as many.
const PAGES: u32 = 40;
const PAGE: u64 = 4_096;

async fn store(folder: &Path) -> Store {
    let settings = StoreSettings { wal_pages: PAGES, ..StoreSettings::default() };
    Store::open_sqlite(folder, &settings, Metrics::new().unwrap()).await.unwrap()
}

/// Fills about as many pages.
async fn write_pages(store: &Store, pages: u32) {
    for _ in 0..pages {
        let insert = "INSERT INTO events (id, at_ms, name, data) VALUES ((SELECT MAX(id) + 1 FROM events), 0, '', ?)";
        store.write(Statement(Query::new(insert).bind("x".repeat(4_000)))).await.unwrap();
    }
}

fn bytes(folder: &Path, file: &str) -> u64 {
    fs::metadata(folder.join(file)).map_or(0, |found| found.len())
}

#[tokio::test]
async fn commits_are_folded_long_before_the_writer_has_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let before = bytes(folder.path(), "kheish.db");
    write_pages(&store, 2 * PAGES).await;
    let grown = async || (bytes(folder.path(), "kheish.db") >= before + u64::from(PAGES) * PAGE).then_some(());
    eventually("the file takes the pages of the log in", grown).await;
    store.close().await;
    assert_eq!(bytes(folder.path(), "kheish.db-wal"), 0, "all of the log is folded at the end");
}

#[tokio::test]
async fn a_log_that_grows_faster_than_it_is_folded_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    join_all((0..8).map(|_| write_pages(&store, 16 * PAGES))).await;
    let log = bytes(folder.path(), "kheish.db-wal");
    assert!(log > 0 && log < 3 * 16 * u64::from(PAGES) * PAGE, "the log has {log} bytes");
    store.close().await;
}
