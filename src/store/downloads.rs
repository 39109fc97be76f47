//! Files that queued runs wait for: statements.

use super::{
    Store, StoreError, only,
    sql::{Query, Row, portions},
    writer::Tx,
};
use crate::model::ids::{RunId, SessionId};

/// A file that a new run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDownload<'a> {
    /// The run.
    pub run: RunId,
    /// The file's place in the run's input.
    pub part: i64,
    /// The run's session.
    pub session: &'a SessionId,
    /// Who can fetch it, as `kind/name`.
    pub connector: &'a str,
}

/// A file that is being fetched by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The run.
    pub run: RunId,
    /// The file's place in the run's input.
    pub part: i64,
    /// The run's session.
    pub session: String,
    /// Who can fetch it, as `kind/name`.
    pub connector: String,
    /// The fence: grows with each claim.
    pub epoch: i64,
    /// How often it was tried, this time included.
    pub attempt: i64,
    /// When the run was made, in milliseconds since 1970.
    pub since_ms: i64,
    /// How many probes of its connector's pause have failed, when this is the next one.
    pub probe: Option<i64>,
    /// Why its connector is paused, for programs and for people, when its run has waited long enough for the end of that.
    pub refused: Option<(String, String)>,
}

const COLUMNS: &str = "run_id, part, session_id, connector, epoch, attempt, since_ms";

fn read(mut row: Row) -> Result<Download, StoreError> {
    Ok(Download {
        run: row.take()?,
        part: row.take()?,
        session: row.take()?,
        connector: row.take()?,
        epoch: row.take()?,
        attempt: row.take()?,
        since_ms: row.take()?,
        probe: None,
        refused: None,
    })
}

/// Notes that runs wait for files, from now on.
pub async fn insert(tx: &mut Tx<'_>, files: &[NewDownload<'_>], now_ms: i64) -> Result<(), StoreError> {
    for chunk in portions(files) {
        let head = format!("INSERT INTO downloads ({COLUMNS}, next_ms) VALUES");
        let mut query = Query::rows(&head, 8, chunk.len(), "");
        for file in chunk {
            query = query.bind(file.run).bind(file.part).bind(file.session.as_str()).bind(file.connector);
            query = query.bind(0).bind(0).bind(now_ms).bind(now_ms);
        }
        tx.execute(query).await?;
        tx.wake_downloads();
    }
    Ok(())
}

const DUE: &str = "WITH RECURSIVE waiting (connector) AS (\
     SELECT MIN(connector) FROM downloads WHERE connector > '' UNION ALL \
     SELECT (SELECT MIN(downloads.connector) FROM downloads WHERE downloads.connector > waiting.connector) \
     FROM waiting WHERE waiting.connector IS NOT NULL) \
     SELECT connector FROM (SELECT connector, (SELECT MIN(next_ms) FROM downloads \
     WHERE downloads.connector = waiting.connector) AS first_ms FROM waiting) AS firsts \
     WHERE first_ms <= ? ORDER BY first_ms, connector";

/// The connectors of which a file is due, that of the longest-due one first. One step for each that has files, however many
/// wait behind the first of them; and a look costs no turn of the writer.
pub async fn due(store: &Store, now_ms: i64) -> Result<Vec<String>, StoreError> {
    store.read(Query::new(DUE).bind(now_ms)).await?.into_iter().map(|mut row| row.take()).collect()
}

const FIRST: &str = "SELECT run_id, part FROM downloads WHERE connector = ? AND next_ms <= ? \
     ORDER BY next_ms, run_id, part LIMIT 1";

/// The file of a connector that has been due for longest, locked: its run, and its place in it.
pub async fn first(tx: &mut Tx<'_>, connector: &str, now_ms: i64) -> Result<Option<(RunId, i64)>, StoreError> {
    let lock = tx.dialect().for_update();
    place(tx.fetch(Query::new(format!("{FIRST} {lock}")).bind(connector).bind(now_ms)).await?)
}

const LATE: &str = "SELECT run_id, part FROM downloads WHERE connector = ? AND since_ms <= ? AND next_ms <= ? \
     ORDER BY since_ms LIMIT 1";

/// A file of a connector that is due, and whose run was made by `since_ms`, locked.
pub async fn late(
    tx: &mut Tx<'_>,
    connector: &str,
    (since_ms, now_ms): (i64, i64),
) -> Result<Option<(RunId, i64)>, StoreError> {
    let lock = tx.dialect().for_update();
    place(tx.fetch(Query::new(format!("{LATE} {lock}")).bind(connector).bind(since_ms).bind(now_ms)).await?)
}

fn place(rows: Vec<Row>) -> Result<Option<(RunId, i64)>, StoreError> {
    rows.into_iter().next().map(|mut row| Ok((row.take()?, row.take()?))).transpose()
}

/// Takes a file until `until_ms`.
pub async fn take(
    tx: &mut Tx<'_>,
    (run, part): (RunId, i64),
    owner: &str,
    until_ms: i64,
) -> Result<Option<Download>, StoreError> {
    let take = Query::new(format!(
        "UPDATE downloads SET next_ms = ?, owner = ?, epoch = epoch + 1, attempt = attempt + 1 \
         WHERE run_id = ? AND part = ? RETURNING {COLUMNS}"
    ));
    let taken = tx.fetch(take.bind(until_ms).bind(owner).bind(run).bind(part)).await?;
    taken.into_iter().next().map(read).transpose()
}

/// Makes what former processes of the family were fetching due again: their tasks died with them.
pub async fn reclaim(tx: &mut Tx<'_>, family: &str, me: &str, now_ms: i64) -> Result<u64, StoreError> {
    let query = Query::new(
        "UPDATE downloads SET next_ms = ?, owner = NULL, epoch = epoch + 1, attempt = attempt - 1 \
         WHERE owner LIKE ? AND owner <> ?",
    );
    tx.execute(query.bind(now_ms).bind(format!("{family}%")).bind(me)).await
}

/// Puts a file off, and takes back the attempt when it does not count. False when somebody else has it.
pub async fn put_off(tx: &mut Tx<'_>, download: &Download, next_ms: i64, counts: bool) -> Result<bool, StoreError> {
    let query = Query::new(
        "UPDATE downloads SET next_ms = ?, owner = NULL, attempt = attempt - ? WHERE run_id = ? AND part = ? AND epoch = ?",
    );
    let query = query.bind(next_ms).bind(i64::from(!counts)).bind(download.run).bind(download.part);
    Ok(tx.execute(query.bind(download.epoch)).await? == 1)
}

/// Ends the wait for a file. False when somebody else has it.
pub async fn end(tx: &mut Tx<'_>, download: &Download) -> Result<bool, StoreError> {
    let query = Query::new("DELETE FROM downloads WHERE run_id = ? AND part = ? AND epoch = ?");
    Ok(tx.execute(query.bind(download.run).bind(download.part).bind(download.epoch)).await? == 1)
}

/// Ends the wait of a run for all of its files. Says whether it waited.
pub async fn abandon(tx: &mut Tx<'_>, run: RunId) -> Result<bool, StoreError> {
    Ok(tx.execute(Query::new("DELETE FROM downloads WHERE run_id = ?").bind(run)).await? > 0)
}

/// How many files a run still waits for.
pub async fn left(tx: &mut Tx<'_>, run: RunId) -> Result<i64, StoreError> {
    let query = Query::new("SELECT COUNT(*) FROM downloads WHERE run_id = ?").bind(run);
    only(tx.fetch(query).await?)?.take()
}

/// Whether a run of this session waits for a file.
pub async fn any_in(tx: &mut Tx<'_>, session: &str) -> Result<bool, StoreError> {
    let query = Query::new("SELECT 1 FROM downloads WHERE session_id = ? LIMIT 1").bind(session);
    Ok(!tx.fetch(query).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Metrics, store::StoreSettings};

    #[tokio::test]
    async fn files_are_found_in_indexes_by_their_connector() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        for (text, found) in [
            (DUE, "COVERING INDEX downloads_"),
            (FIRST, "COVERING INDEX downloads_due (connector=? AND next_ms<?)"),
            (LATE, "INDEX downloads_late (connector=? AND since_ms<?)"),
        ] {
            let (mut looks, plan) = (0, store.read(Query::new(format!("EXPLAIN QUERY PLAN {text}"))).await.unwrap());
            for mut row in plan {
                let _place: (i64, i64, i64) = (row.take().unwrap(), row.take().unwrap(), row.take().unwrap());
                let step: String = row.take().unwrap();
                if step.contains("downloads") {
                    looks += 1;
                    assert!(step.starts_with(&format!("SEARCH downloads USING {found}")), "{text}: {step}");
                }
            }
            assert!(looks > 0, "{text}");
        }
        store.close().await;
    }
}
