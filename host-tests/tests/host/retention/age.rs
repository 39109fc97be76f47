//! The store of a daemon that is down, made older: times, and ids, which begin with a time.

use kheish::{
    metrics::Metrics,
    store::{
        Store, StoreError, StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};
use kheish_host_tests::host::Host;

const DAY_MS: i64 = 86_400_000;

/// Times that rows carry.
const TIMES: [&str; 6] = [
    "UPDATE receipts SET accepted_ms = accepted_ms - ?1",
    "UPDATE runs SET submitted_ms = submitted_ms - ?1, started_ms = started_ms - ?1, finished_ms = finished_ms - ?1",
    "UPDATE outputs SET created_ms = created_ms - ?1",
    "UPDATE deliveries SET created_ms = created_ms - ?1, sending_ms = sending_ms - ?1, ended_ms = ended_ms - ?1",
    "UPDATE delivery_attempts SET started_ms = started_ms - ?1, ended_ms = ended_ms - ?1",
    "UPDATE sessions SET created_ms = created_ms - ?1, updated_ms = updated_ms - ?1",
];

/// Where ids of runs and deliveries stand.
const IDS: [&str; 7] = [
    "UPDATE runs SET id = ? WHERE id = ?",
    "UPDATE receipts SET run_id = ? WHERE run_id = ?",
    "UPDATE outputs SET run_id = ? WHERE run_id = ?",
    "UPDATE deliveries SET run_id = ? WHERE run_id = ?",
    "UPDATE deliveries SET id = ? WHERE id = ?",
    "UPDATE delivery_attempts SET delivery_id = ? WHERE delivery_id = ?",
    "UPDATE events SET run_id = ? WHERE run_id = ?",
];

/// Makes everything so many days older.
pub(super) async fn by(host: &Host, days: i64) {
    let store = open(host).await;
    let mut queries: Vec<Query> = TIMES.map(|text| Query::new(text).bind(days * DAY_MS)).to_vec();
    for text in ["SELECT id FROM runs", "SELECT DISTINCT id FROM deliveries"] {
        for mut row in store.read(Query::new(text)).await.unwrap() {
            let id: Vec<u8> = row.take().unwrap();
            queries.extend(IDS.map(|text| Query::new(text).bind(older(&id, days)).bind(id.as_slice())));
        }
    }
    store.write(Statements(queries)).await.unwrap();
    store.close().await;
}

/// Runs a statement on the store of a daemon that is down.
pub(super) async fn change(host: &Host, text: &'static str) {
    let store = open(host).await;
    store.write(Statements(vec![Query::new(text)])).await.unwrap();
    store.close().await;
}

/// Asserts that nothing is left in these tables of a daemon that is down.
pub(super) async fn is_empty(host: &Host, tables: &[&str]) {
    let store = open(host).await;
    for table in tables {
        let rows = store.read(Query::new(format!("SELECT 1 FROM {table}"))).await.unwrap();
        assert_eq!(rows.len(), 0, "{table}");
    }
    store.close().await;
}

/// What a run is called after so many days.
pub(super) fn name(run: &str, days: i64) -> String {
    let id = hex::decode(run.trim_start_matches("run_")).unwrap();
    format!("run_{}", hex::encode(older(&id, days)))
}

fn older(id: &[u8], days: i64) -> Vec<u8> {
    let moment = id[..6].iter().fold(0, |moment, byte| moment << 8 | i64::from(*byte));
    [&(moment - days * DAY_MS).to_be_bytes()[2..], &id[6..]].concat()
}

async fn open(host: &Host) -> Store {
    Store::open_sqlite(&host.state_folder(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap()
}

/// Statements from outside, in one transaction.
struct Statements(Vec<Query>);

impl Command for Statements {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for query in batch.iter().flat_map(|Self(queries)| queries) {
            tx.execute(query.clone()).await?;
        }
        Ok(vec![(); batch.len()])
    }
}
