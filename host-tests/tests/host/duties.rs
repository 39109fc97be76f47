//! Another daemon on the same store, as far as duties go: whoever changes who has them.

use kheish::{
    metrics::Metrics,
    store::{
        Store, StoreError, StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};
use kheish_host_tests::host::Host;

/// Who has every duty from now on, until when.
struct Taken(&'static str, i64);

impl Command for Taken {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut changed = Vec::new();
        for Self(owner, until_ms) in batch {
            let query = Query::new("UPDATE duties SET owner = ?, epoch = epoch + 1, until_ms = ?");
            changed.push(tx.execute(query.bind(*owner).bind(*until_ms)).await?);
        }
        Ok(changed)
    }
}

/// Another daemon has all duties.
pub(crate) async fn taken_by_another(host: &Host) {
    change(host, Taken("another:1", i64::MAX)).await;
}

/// Another daemon has let go of them.
pub(crate) async fn let_go(host: &Host) {
    change(host, Taken("another:1", 0)).await;
}

/// A former process of the same state folder has them.
pub(crate) async fn left_behind(host: &Host) {
    change(host, Taken("duties:former", i64::MAX)).await;
}

/// How many somebody has.
pub(crate) async fn held(host: &Host) -> i64 {
    let store = open(host).await;
    let held = store.read(Query::new("SELECT COUNT(*) FROM duties")).await.unwrap().remove(0).take().unwrap();
    store.close().await;
    held
}

async fn open(host: &Host) -> Store {
    let metrics = Metrics::new().unwrap();
    Store::open_sqlite(&host.state_folder(), &StoreSettings::default(), metrics).await.unwrap()
}

async fn change(host: &Host, taken: Taken) {
    let store = open(host).await;
    assert_eq!(store.write(taken).await.unwrap(), 1, "one duty");
    store.close().await;
}
