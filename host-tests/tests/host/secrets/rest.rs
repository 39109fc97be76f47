//! The store of a daemon that is down: what it keeps of secrets, and damage to it.

use std::{collections::BTreeMap, fs};

use kheish::{
    metrics::Metrics,
    store::{
        Store, StoreError, StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};
use kheish_host_tests::host::Host;

/// The rows that hold secrets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// Name, version, key and sealed value of each secret.
    secrets: Vec<(String, i64, i64, Vec<u8>)>,
    /// Id and wrapped key of each data key.
    data_keys: Vec<(i64, Vec<u8>)>,
}

/// Everything of secrets that is on the disk: the rows, and the files beside the database whose names say "key".
pub(super) async fn kept(host: &Host) -> (Rows, BTreeMap<String, Vec<u8>>) {
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    let files = fs::read_dir(host.state_folder()).unwrap().filter_map(|entry| named(entry.unwrap()));
    let keys = files.filter(|(name, _)| name.contains("key")).map(|(name, path)| (name, fs::read(path).unwrap()));
    (rows(host).await, keys.collect())
}

async fn open(host: &Host) -> Store {
    Store::open_sqlite(&host.state_folder(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap()
}

/// The rows of a daemon that is down.
pub(super) async fn rows(host: &Host) -> Rows {
    let store = open(host).await;
    let secrets = store.read(Query::new("SELECT name, version, key_id, sealed FROM secrets ORDER BY name")).await;
    let data_keys = store.read(Query::new("SELECT id, wrapped FROM data_keys ORDER BY id")).await;
    let secret = |mut row: kheish::store::sql::Row| {
        (row.take().unwrap(), row.take().unwrap(), row.take().unwrap(), row.take().unwrap())
    };
    let rows = Rows {
        secrets: secrets.unwrap().into_iter().map(secret).collect(),
        data_keys: data_keys.unwrap().into_iter().map(|mut row| (row.take().unwrap(), row.take().unwrap())).collect(),
    };
    store.close().await;
    rows
}

/// Puts other rows in the place of those that are there.
pub(super) async fn write(host: &Host, rows: &Rows) {
    let mut queries = vec![Query::new("DELETE FROM secrets"), Query::new("DELETE FROM data_keys")];
    for (name, version, key, sealed) in &rows.secrets {
        let query = Query::new("INSERT INTO secrets VALUES (?, ?, ?, ?, 0, 0)").bind(name.as_str());
        queries.push(query.bind(*version).bind(*key).bind(sealed.as_slice()));
    }
    for (id, wrapped) in &rows.data_keys {
        queries.push(Query::new("INSERT INTO data_keys VALUES (?, ?, 0)").bind(*id).bind(wrapped.as_slice()));
    }
    let store = open(host).await;
    store.write(Statements(queries)).await.unwrap();
    store.close().await;
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

/// What can happen to rows.
pub(super) type Damage = fn(&mut Rows);

/// Each kind of damage, and what the daemon says of it.
pub(super) const DAMAGES: [(&str, Damage, &[&str]); 6] = [
    ("a byte of a value", |rows| flip(&mut rows.secrets[0].3), &["secret `one` cannot be opened", "backup"]),
    ("a value under another name", |rows| rows.secrets[0].0 = "three".to_owned(), &["secret `three`", "backup"]),
    ("two values exchanged", exchange, &["secret `one` cannot be opened", "backup"]),
    ("a former version", |rows| rows.secrets[1].1 -= 1, &["secret `two` cannot be opened", "backup"]),
    ("a byte of a data key", |rows| flip(&mut rows.data_keys[0].1), &["data key 1", "unwrapped", "backup"]),
    ("no data key", |rows| rows.data_keys.clear(), &["secret `one`", "data key 1", "not in the store", "backup"]),
];

fn exchange(rows: &mut Rows) {
    let [one, two] = rows.secrets.as_mut_slice() else { panic!("{rows:?}") };
    std::mem::swap(&mut one.3, &mut two.3);
}

fn flip(bytes: &mut [u8]) {
    *bytes.last_mut().unwrap() ^= 1;
}
