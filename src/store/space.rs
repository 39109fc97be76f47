//! Pages that deleted rows leave behind.
//!
//! New rows take free pages first, so a file that is pruned as fast as it grows keeps its size, and to shrink it at every
//! round would only move pages about. A file of which much is free is cut shorter, a few pages at a time. A server's database
//! looks after its own space.

use std::time::{Duration, Instant};

use super::{
    Store, StoreError, only,
    sql::{Dialect, Query},
    writer::{Command, Tx},
};

/// The file is cut while more than one page in so many is free.
const KEPT_FREE: i64 = 4;

/// Whether much of the database file is free.
pub async fn is_wasted(store: &Store) -> Result<bool, StoreError> {
    if store.file.is_none() {
        return Ok(false);
    }
    let free: i64 = only(store.read(Query::new("PRAGMA freelist_count")).await?)?.take()?;
    let all: i64 = only(store.read(Query::new("PRAGMA page_count")).await?)?.take()?;
    Ok(free * KEPT_FREE > all)
}

/// Cuts the file by some free pages; the reply is how many.
pub struct GiveBack {
    /// For how long the writer may be held.
    pub hold: Duration,
}

impl Command for GiveBack {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut replies = Vec::with_capacity(batch.len());
        for command in batch {
            replies.push(give_back(command.hold, tx).await?);
        }
        Ok(replies)
    }
}

/// A step moves a page for each that it frees, so time is looked at often.
async fn give_back(hold: Duration, tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    if tx.dialect() != Dialect::Sqlite {
        return Ok(0);
    }
    let started = Instant::now();
    let before = free_pages(tx).await?;
    let mut after = before;
    while after > 0 {
        tx.execute(Query::new("PRAGMA incremental_vacuum(16)")).await?;
        let left = free_pages(tx).await?;
        let stuck = left >= after;
        after = left;
        if stuck || started.elapsed() > hold / 4 {
            break;
        }
    }
    Ok(u64::try_from(before - after).unwrap_or(0))
}

async fn free_pages(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    only(tx.fetch(Query::new("PRAGMA freelist_count")).await?)?.take()
}
