//! What waits, for gauges. Each statement reads a partial index that holds work and trouble only, so that finished rows
//! cost nothing.

use std::collections::BTreeMap;

use super::{Store, StoreError, only, pauses, sql::Query, tally_codes};
use crate::{
    metrics::gauges::{Backlog, Sizes},
    model::delivery::DeliveryStatus,
};

const READY: &str = "SELECT COUNT(*), MIN(ready_at) FROM sessions WHERE state = 1";
const BUSY: &str = "SELECT COUNT(*) FROM sessions WHERE state = 2";
const WAITING: &str = "SELECT COUNT(*), MIN(created_ms) FROM deliveries WHERE status < 2";
/// A leased lane has one delivery that is being sent.
const SENDING: &str = "SELECT COUNT(*) FROM lanes WHERE state = 2";
const UNRESOLVED: &str = "SELECT status, COUNT(*) FROM deliveries WHERE status IN (3, 4) GROUP BY status";

/// What waits, and since when: now, or as it was a while ago where much does (see [`super::tallies`]).
pub async fn read(store: &Store) -> Result<Backlog, StoreError> {
    let own = store.clone();
    let counted = store.backlog.get(async move { count_all(&own).await }).await?;
    Ok(Backlog { writer_queue_depth: store.writer.waiting(), ..counted.value.clone() })
}

async fn count_all(store: &Store) -> Result<Backlog, StoreError> {
    let mut ready = only(store.read(Query::new(READY)).await?)?;
    let mut waiting = only(store.read(Query::new(WAITING)).await?)?;
    let unresolved = tally_codes(store, UNRESOLVED).await?;
    let unresolved = |status: DeliveryStatus| unresolved.get(&(status as i64)).copied().unwrap_or(0);
    let (sessions_ready, oldest_ready_ms) = (ready.take()?, ready.take()?);
    let (not_ended, oldest_delivery_ms): (i64, _) = (waiting.take()?, waiting.take()?);
    let mut paused = BTreeMap::new();
    for connector in pauses::all(store).await?.into_keys() {
        let kind = connector.split_once('/').map_or(connector.as_str(), |(kind, _)| kind);
        *paused.entry(kind.to_owned()).or_default() += 1;
    }
    let sending = count(store, SENDING).await?;
    Ok(Backlog {
        sessions_ready,
        sessions_busy: count(store, BUSY).await?,
        oldest_ready_ms,
        // The two were counted one after the other.
        deliveries_pending: (not_ended - sending).max(0),
        deliveries_sending: sending,
        deliveries_unknown: unresolved(DeliveryStatus::Unknown),
        dead_letters: unresolved(DeliveryStatus::Dead),
        oldest_delivery_ms,
        paused,
        writer_queue_depth: 0,
    })
}

async fn count(store: &Store, text: &'static str) -> Result<i64, StoreError> {
    only(store.read(Query::new(text)).await?)?.take()
}

/// How large files and process are. Reads the file system: not for every request.
pub fn sizes(store: &Store) -> Sizes {
    let file = store.file.as_ref();
    let length = |suffix: &str| {
        let mut path = file?.clone().into_os_string();
        path.push(suffix);
        std::fs::metadata(path).ok().map(|metadata| metadata.len())
    };
    let disk = file.and_then(|file| rustix::fs::statvfs(file.as_path()).ok());
    Sizes {
        db_bytes: length(""),
        wal_bytes: length("-wal"),
        disk_free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        resident_bytes: resident_bytes(),
    }
}

/// What Linux says of this process; nothing elsewhere.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Metrics, store::StoreSettings};

    #[tokio::test]
    async fn every_statement_reads_a_partial_index() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        for (text, index) in [
            (READY, "sessions_ready"),
            (BUSY, "sessions_leased"),
            (WAITING, "deliveries_waiting"),
            (SENDING, "lanes_leased"),
            (UNRESOLVED, "deliveries_unresolved"),
        ] {
            let plan = store.read(Query::new(format!("EXPLAIN QUERY PLAN {text}"))).await.unwrap();
            let steps: Vec<String> = plan
                .into_iter()
                .map(|mut row| {
                    let _place: (i64, i64, i64) = (row.take().unwrap(), row.take().unwrap(), row.take().unwrap());
                    row.take().unwrap()
                })
                .collect();
            assert!(steps.iter().any(|step| step.contains(&format!("INDEX {index}"))), "{text}: {steps:?}");
            assert_eq!(steps.len(), 1, "{text}: {steps:?}");
        }
        store.close().await;
    }

    #[test]
    fn this_process_has_a_size() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
