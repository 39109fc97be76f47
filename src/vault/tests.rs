//! The vault on a real store in a folder of its own.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::{
    metrics::Metrics,
    secrets::master_key::{FILE, NEXT_FILE},
    store::{
        StoreSettings,
        sql::Query,
        writer::{Command, Tx},
    },
};

mod many;

const VALUE: &str = "xoxb-a-value-nobody-may-find";

struct Place {
    folder: TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(folder.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        Self { folder, store }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.store, &Clock::system(), self.path(), MasterKeySource::StateFolder).await
    }

    async fn vault(&self) -> Vault {
        self.open().await.unwrap()
    }

    async fn refusal(&self) -> String {
        self.open().await.err().unwrap().to_string()
    }

    /// What the daemon would find at its next start.
    async fn restart(self) -> Self {
        self.store.close().await;
        let store = Store::open_sqlite(self.path(), &StoreSettings::default(), Metrics::new().unwrap()).await.unwrap();
        Self { folder: self.folder, store }
    }

    async fn run(&self, query: Query) {
        self.store.write(Run(query)).await.unwrap();
    }

    fn key_text(&self) -> String {
        fs::read_to_string(self.path().join(FILE)).unwrap()
    }
}

/// A statement from outside.
struct Run(Query);

impl Command for Run {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut replies = Vec::new();
        for Run(query) in batch {
            replies.push(tx.execute(query.clone()).await?);
        }
        Ok(replies)
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

async fn read(vault: &Vault, name: &str) -> Option<String> {
    let value = vault.get(name).await.unwrap()?;
    Some(String::from_utf8(value.expose().to_vec()).unwrap())
}

async fn put(vault: &Vault, name: &str, value: &str) -> SecretStatus {
    vault.put(name, &secret(value)).await.unwrap()
}

#[tokio::test]
async fn values_come_back_and_names_keep_their_rules() {
    let place = Place::new().await;
    let vault = place.vault().await;
    assert_eq!(read(&vault, "a").await, None);
    let first = put(&vault, "b", "one").await;
    assert_eq!((first.version, first.created_ms), (1, first.updated_ms));
    put(&vault, "a", VALUE).await;
    let second = put(&vault, "b", "two").await;
    assert_eq!((second.version, second.created_ms), (2, first.created_ms));
    let names: Vec<_> = vault.list().await.unwrap().into_iter().map(|status| (status.name, status.version)).collect();
    assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(vault.get_status("b").await.unwrap(), Some(second));
    assert_eq!(read(&vault, "b").await.as_deref(), Some("two"));
    assert!(vault.delete("b").await.unwrap());
    assert!(!vault.delete("b").await.unwrap());
    assert_eq!(vault.get_status("b").await.unwrap(), None);
    assert_eq!(put(&vault, "b", "three").await.version, 1);
    for (name, value) in [("", "x"), ("a\n", "x"), ("a", ""), ("a", " \n")] {
        assert!(matches!(vault.put(name, &secret(value)).await, Err(VaultError::Invalid(_))), "{name:?} {value:?}");
    }
    let place = place.restart().await;
    let vault = place.vault().await;
    assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE));
    assert_eq!(read(&vault, "b").await.as_deref(), Some("three"));
}

#[tokio::test]
async fn what_is_written_or_read_is_masked() {
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "a", VALUE).await;
    let text = format!("{VALUE} {}", place.key_text());
    assert_eq!(mask::mask(&text), "[masked] [masked]\n");
    // In another process it is known from the start on.
    vault.delete("a").await.unwrap();
    assert_eq!(mask::mask(VALUE), "[masked]");
}

#[tokio::test]
async fn no_file_has_a_value_in_it() {
    let mut place = Place::new().await;
    let vault = place.vault().await;
    let values = ["first-value-0123456789", "second-value-0123456789", "third-value-0123456789"];
    for (value, name) in values.iter().zip(["a", "a", "b"]) {
        put(&vault, name, value).await;
    }
    vault.rotate_keys().await.unwrap();
    vault.delete("b").await.unwrap();
    for _ in 0..2 {
        let mut looked_at = 0;
        for file in fs::read_dir(place.path()).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            looked_at += bytes.len();
            for value in &values {
                let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
                assert!(!found, "a file has {value}");
            }
        }
        assert!(looked_at > 10_000);
        place = place.restart().await;
    }
}

#[tokio::test]
async fn a_changed_row_is_a_refusal_to_start_that_names_the_secret() {
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "a", VALUE).await;
    put(&vault, "b", "other-value").await;
    let tampered = "UPDATE secrets SET sealed = substr(sealed, 1, 40) || \
                    CASE substr(sealed, 41, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(sealed, 42) WHERE name = 'b'";
    let exchange = "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'a') WHERE name = 'b'";
    let cases = [
        (tampered, "secret `b` cannot be opened: its bytes are not what was sealed"),
        (
            "UPDATE secrets SET sealed = substr(sealed, 1, 20) WHERE name = 'b'",
            "secret `b` cannot be opened: it is too",
        ),
        (exchange, "secret `b` cannot be opened: its bytes are not what was sealed"),
        ("UPDATE secrets SET version = 2 WHERE name = 'b'", "secret `b` cannot be opened: its bytes"),
        ("UPDATE secrets SET name = 'c' WHERE name = 'b'", "secret `c` cannot be opened: its bytes"),
        ("UPDATE secrets SET key_id = 9 WHERE name = 'b'", "secret `b` cannot be opened: data key 9, which sealed it"),
        ("UPDATE data_keys SET wrapped = wrapped || x'00'", "data key 1 of the store cannot be unwrapped: its bytes"),
        ("DELETE FROM data_keys", "secret `a` cannot be opened: data key 1, which sealed it, is not in the store"),
    ];
    place.run(Query::new("CREATE TABLE kept AS SELECT * FROM secrets")).await;
    place.run(Query::new("CREATE TABLE kept_keys AS SELECT * FROM data_keys")).await;
    for (change, expected) in cases {
        place.run(Query::new(change)).await;
        let refusal = place.refusal().await;
        assert!(refusal.starts_with(expected), "{change}: {refusal}");
        for restore in ["DELETE FROM secrets", "INSERT INTO secrets SELECT * FROM kept", "DELETE FROM data_keys"] {
            place.run(Query::new(restore)).await;
        }
        place.run(Query::new("INSERT INTO data_keys SELECT * FROM kept_keys")).await;
        place.vault().await;
    }
}

#[tokio::test]
async fn the_master_key_must_be_the_one_that_sealed() {
    let place = Place::new().await;
    put(&place.vault().await, "a", VALUE).await;
    let path = place.path().join(FILE);
    let copy = place.key_text();
    fs::remove_file(&path).unwrap();
    assert!(place.refusal().await.contains("put it back"), "{}", place.refusal().await);
    assert!(!path.exists());
    let given = |text: &str| MasterKeySource::from_values(Some(text.into()), None).unwrap();
    let clock = Clock::system();
    let other = given("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    let refusal = Vault::open(&place.store, &clock, place.path(), other).await.err().unwrap().to_string();
    assert!(refusal.contains("the one in KHEISH_AUTH_STORE_MASTER_KEY is"), "{refusal}");
    // The file's content may move into the variable.
    let vault = Vault::open(&place.store, &clock, place.path(), given(&copy)).await.unwrap();
    assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE));
    let rotated = vault.rotate_keys().await.unwrap();
    assert_eq!(rotated, Rotated { data_key: 2, secrets: 1, master_key_replaced: false });
    assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE));
    assert!(!path.exists());
    // A link in the key's place is followed, and never replaced.
    let kept = tempfile::NamedTempFile::new().unwrap();
    fs::write(kept.path(), &copy).unwrap();
    std::os::unix::fs::symlink(kept.path(), &path).unwrap();
    assert!(!place.vault().await.rotate_keys().await.unwrap().master_key_replaced);
    assert_eq!(place.key_text(), copy);
    assert!(path.is_symlink());
}

#[tokio::test]
async fn a_rotation_replaces_every_key() {
    let place = Place::new().await;
    let vault = place.vault().await;
    for number in 0..150 {
        put(&vault, &format!("s{number}"), &format!("value-{number}")).await;
    }
    let before = place.key_text();
    let keys_before = data_keys::all(&place.store).await.unwrap();
    let versions = vault.list().await.unwrap();
    let rotated = vault.rotate_keys().await.unwrap();
    assert_eq!(rotated, Rotated { data_key: 2, secrets: 150, master_key_replaced: true });
    assert_ne!(place.key_text(), before);
    let keys = data_keys::all(&place.store).await.unwrap();
    assert_eq!(keys.len(), 1, "the old data key is deleted");
    assert_ne!(sealed_under(&keys).unwrap(), sealed_under(&keys_before).unwrap());
    assert_eq!(vault.list().await.unwrap(), versions, "a value sealed anew is the same value");
    assert_eq!(vault.rotate_keys().await.unwrap().data_key, 3);
    assert_eq!(read(&vault, "s149").await.as_deref(), Some("value-149"));
    let place = place.restart().await;
    assert_eq!(read(&place.vault().await, "s7").await.as_deref(), Some("value-7"));
    assert!(!place.path().join(NEXT_FILE).exists());
}

/// Stops after `steps` steps of a rotation and rotates to the end, twice.
async fn stopped_after(steps: usize) {
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "a", VALUE).await;
    let before = place.key_text();
    let next = vault.write_next_master_key().await.unwrap();
    if steps >= 2 {
        vault.wrap_under(next).await.unwrap();
        assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE));
    }
    if steps >= 3 {
        vault.promote_master_key().await.unwrap();
    }
    if steps >= 4 {
        assert_eq!(vault.add_data_key(false).await.unwrap(), 2);
    }
    if steps >= 5 {
        vault.seal_anew(2).await.unwrap();
    }
    assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE));
    // What went wrong in one process is followed by a rotation in the same process, and then by one after a start.
    for start in [false, true] {
        let vault = if start { place.vault().await } else { vault.clone() };
        assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE), "after {steps} steps");
        assert!(vault.rotate_keys().await.unwrap().master_key_replaced);
        assert_eq!(data_keys::all(&place.store).await.unwrap().len(), 1);
        assert!(!place.path().join(NEXT_FILE).exists());
    }
    assert_ne!(place.key_text(), before);
}

/// Stops after `steps` steps and looks at what the next start makes of it.
async fn started_after(steps: usize) {
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "a", VALUE).await;
    let before = place.key_text();
    let next = vault.write_next_master_key().await.unwrap();
    if steps == 0 {
        // The power failed within the write.
        fs::write(place.path().join(NEXT_FILE), "AQID").unwrap();
    }
    if steps >= 2 {
        vault.wrap_under(next).await.unwrap();
    }
    if steps >= 3 {
        vault.promote_master_key().await.unwrap();
    }
    let place = place.restart().await;
    let vault = place.vault().await;
    assert_eq!(read(&vault, "a").await.as_deref(), Some(VALUE), "after {steps} steps");
    assert_eq!(place.key_text() == before, steps < 2, "after {steps} steps");
    assert!(!place.path().join(NEXT_FILE).exists());
    put(&vault, "b", VALUE).await;
    vault.rotate_keys().await.unwrap();
    let place = place.restart().await;
    assert_eq!(read(&place.vault().await, "b").await.as_deref(), Some(VALUE));
}

#[tokio::test]
async fn a_rotation_that_stops_anywhere_is_mended() {
    for steps in 1..=5 {
        stopped_after(steps).await;
    }
    for steps in 0..=3 {
        started_after(steps).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_reads_and_rotations_that_meet_lose_nothing() {
    let place = Place::new().await;
    let vault = place.vault().await;
    for number in 0..100 {
        put(&vault, &format!("kept{number}"), &format!("kept-{number}")).await;
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let vault = vault.clone();
        writers.spawn(async move {
            let name = format!("shared{}", writer % 2);
            for number in 0..40 {
                put(&vault, &name, &format!("value-{writer}-{number}")).await;
                assert!(read(&vault, &name).await.unwrap().starts_with("value-"));
                assert_eq!(read(&vault, "kept42").await.as_deref(), Some("kept-42"));
            }
        });
    }
    let mut rotations = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let vault = vault.clone();
        rotations.spawn(async move { vault.rotate_keys().await.unwrap().data_key });
    }
    let mut keys = rotations.join_all().await;
    keys.sort_unstable();
    assert_eq!(keys, [2, 3, 4, 5], "one waited for another");
    writers.join_all().await;
    for name in ["shared0", "shared1"] {
        assert_eq!(vault.get_status(name).await.unwrap().unwrap().version, 80, "no write was lost");
        assert!(read(&vault, name).await.unwrap().ends_with("-39"));
    }
    assert_eq!(vault.rotate_keys().await.unwrap().secrets, 102);
    let place = place.restart().await;
    assert_eq!(read(&place.vault().await, "kept99").await.as_deref(), Some("kept-99"));
}

#[tokio::test]
async fn a_rotation_goes_on_when_nobody_waits_for_it() {
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "a", VALUE).await;
    let abandoned = tokio::time::timeout(std::time::Duration::ZERO, vault.rotate_keys()).await;
    assert!(abandoned.is_err());
    // It has the turn, so this one comes after it.
    assert_eq!(vault.rotate_keys().await.unwrap().data_key, 3);
}

#[tokio::test]
async fn a_writer_of_other_rows_writes_secrets_in_its_transaction() {
    struct Both(Vec<ToSeal>, bool);
    impl Command for Both {
        type Reply = usize;

        async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<usize>, StoreError> {
            let mut replies = Vec::new();
            for Both(values, fails) in batch {
                let deleted = delete(tx, &["old", "absent"]).await?;
                assert_eq!(write(tx, values, 7).await?.len(), values.len());
                if *fails {
                    return Err(StoreError::Damaged("as asked"));
                }
                replies.push(deleted);
            }
            Ok(replies)
        }
    }
    let place = Place::new().await;
    let vault = place.vault().await;
    put(&vault, "old", VALUE).await;
    let values = vec![vault.seal("a", &secret("one-value")).unwrap(), vault.seal("b", &secret("two-value")).unwrap()];
    assert!(vault.seal("", &secret("x")).is_err());
    assert_eq!(format!("{values:?}"), "[ToSeal(a), ToSeal(b)]");
    assert!(place.store.write(Both(values.clone(), true)).await.is_err());
    assert_eq!(read(&vault, "old").await.as_deref(), Some(VALUE), "all or nothing");
    assert_eq!(read(&vault, "a").await, None);
    // Sealed before a rotation, written after it.
    vault.rotate_keys().await.unwrap();
    assert_eq!(place.store.write(Both(values, false)).await.unwrap(), 1);
    assert_eq!(read(&vault, "a").await.as_deref(), Some("one-value"));
    assert_eq!(read(&vault, "old").await, None);
}
