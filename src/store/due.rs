//! Which lanes may be claimed while some connectors are paused: statements.
//!
//! Lanes of a paused connector stay in their index as they are, so that a pause of 100,000 lanes begins and ends with one
//! row. They are passed over by owner (`lanes_of_owner`): a claim costs a step for each owner with ready lanes and one for
//! each lane that it takes, however many wait behind a pause.

use std::collections::HashMap;

use super::{
    StoreError,
    heads::Lease,
    pauses::{self, Standing},
    sql::Query,
    writer::Tx,
};

/// Lanes to claim.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Their ids, the longest-ready first.
    pub ids: Vec<String>,
    /// Those that are the probe of a paused connector, with how many probes of that pause have failed.
    pub probes: HashMap<String, i64>,
}

/// Up to `limit` lanes: the longest-ready of connectors that are not paused, and for each paused one whose probe is due its
/// longest-ready lane. A probe that was chosen keeps others away for as long as the lease.
pub async fn beside(tx: &mut Tx<'_>, paused: &[Standing], limit: i64, lease: Lease<'_>) -> Result<Due, StoreError> {
    let most = usize::try_from(limit).unwrap_or_default();
    let mut due = Due::default();
    for pause in paused.iter().filter(|pause| pause.probe_ms <= lease.now_ms) {
        if due.ids.len() == most {
            return Ok(due);
        }
        let Some((_, lane)) = of_owner(tx, &pause.connector, 1, lease.now_ms).await?.pop() else { continue };
        if pauses::hold_probe(tx, pause, lease.until_ms).await? {
            due.probes.insert(lane.clone(), pause.failed);
            due.ids.push(lane);
        }
    }
    let left = most - due.ids.len();
    let mut ready = Vec::new();
    for owner in owners(tx, left, lease.now_ms).await? {
        ready.extend(of_owner(tx, &owner, left, lease.now_ms).await?);
    }
    ready.sort();
    due.ids.extend(ready.into_iter().take(left).map(|(_, lane)| lane));
    Ok(due)
}

/// Each owner of ready lanes that is not paused, found by one step in the index each, and since when its first lane is ready.
const OWNERS: &str = "\
    WITH RECURSIVE owners (owner) AS (\
    SELECT MIN(owner) FROM lanes WHERE state = 1 AND held IS NULL \
    UNION ALL \
    SELECT (SELECT MIN(lanes.owner) FROM lanes WHERE state = 1 AND held IS NULL AND lanes.owner > owners.owner) \
    FROM owners WHERE owners.owner IS NOT NULL) \
    SELECT owner, (SELECT MIN(ready_at) FROM lanes WHERE state = 1 AND held IS NULL AND lanes.owner = owners.owner) \
    AS since FROM owners \
    WHERE owner IS NOT NULL AND owner NOT IN (SELECT connector FROM delivery_pauses) ORDER BY since, owner LIMIT ?";

/// Owners that are not paused and have due lanes, up to so many, the longest-ready first.
async fn owners(tx: &mut Tx<'_>, most: usize, now_ms: i64) -> Result<Vec<String>, StoreError> {
    let mut owners = Vec::new();
    for mut row in tx.fetch(Query::new(OWNERS).bind(i64::try_from(most).unwrap_or(i64::MAX))).await? {
        let (owner, since): (String, i64) = (row.take()?, row.take()?);
        if since <= now_ms {
            owners.push(owner);
        }
    }
    Ok(owners)
}

const OF_OWNER: &str = "\
    SELECT ready_at, id FROM lanes WHERE state = 1 AND held IS NULL AND owner = ? AND ready_at <= ? \
    ORDER BY ready_at, id LIMIT ?";

/// The longest-ready lanes of an owner, locked, with since when they are ready.
async fn of_owner(tx: &mut Tx<'_>, owner: &str, most: usize, now_ms: i64) -> Result<Vec<(i64, String)>, StoreError> {
    let lock = tx.dialect().for_update();
    let query = Query::new(format!("{OF_OWNER} {lock}"));
    let query = query.bind(owner).bind(now_ms).bind(i64::try_from(most).unwrap_or(i64::MAX));
    tx.fetch(query).await?.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::Metrics,
        store::{Store, StoreSettings},
    };

    #[tokio::test]
    async fn no_statement_reads_lanes_that_it_does_not_want() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        for text in [OWNERS, OF_OWNER] {
            let plan = store.read(Query::new(format!("EXPLAIN QUERY PLAN {text}"))).await.unwrap();
            let steps: Vec<String> = plan
                .into_iter()
                .map(|mut row| {
                    let _place: (i64, i64, i64) = (row.take().unwrap(), row.take().unwrap(), row.take().unwrap());
                    row.take().unwrap()
                })
                .collect();
            let of_lanes = steps.iter().filter(|step| step.contains("lanes"));
            let seeks = |step: &str| step.starts_with("SEARCH lanes USING COVERING INDEX lanes_of_owner");
            assert!(of_lanes.clone().all(|step| seeks(step)), "{text}: {steps:?}");
            assert!(of_lanes.count() > 0 && steps.iter().all(|step| !step.contains("B-TREE") || text == OWNERS));
        }
        store.close().await;
    }
}
