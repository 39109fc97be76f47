//! Sealed secrets on both databases.

use std::path::Path;

use kheish::{
    clock::Clock,
    secrets::{Secret, master_key::MasterKeySource},
    store::Store,
    vault::Vault,
};

/// 32 bytes in base64.
const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// Values that each daemon writes.
const VALUES: usize = 30;

/// The vault of a daemon whose master key comes from outside.
async fn vault(store: &Store) -> Vault {
    let source = MasterKeySource::from_values(Some(KEY.into()), None).unwrap();
    Vault::open(store, &Clock::system(), Path::new("/nowhere"), source).await.unwrap()
}

async fn put(vault: &Vault, name: &str, value: &str) -> i64 {
    vault.put(name, &Secret::new(value)).await.unwrap().version
}

async fn read(vault: &Vault, name: &str) -> Option<String> {
    let value = vault.get(name).await.unwrap()?;
    Some(String::from_utf8(value.expose().to_vec()).unwrap())
}

pub(crate) async fn secrets_are_kept_sealed(stores: Vec<Store>) {
    let vault = vault(&stores[0]).await;
    assert_eq!(put(&vault, "b", "first-value").await, 1);
    assert_eq!(put(&vault, "b", "second-value").await, 2);
    assert_eq!(put(&vault, "a", "other-value").await, 1);
    assert_eq!(read(&vault, "b").await.as_deref(), Some("second-value"));
    let rotated = vault.rotate_keys().await.unwrap();
    assert_eq!((rotated.data_key, rotated.secrets, rotated.master_key_replaced), (2, 2, false));
    assert_eq!(read(&vault, "b").await.as_deref(), Some("second-value"));
    let names: Vec<_> = vault.list().await.unwrap().into_iter().map(|status| (status.name, status.version)).collect();
    assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert!(vault.delete("b").await.unwrap());
    assert!(!vault.delete("b").await.unwrap());
    assert_eq!(read(&vault, "b").await, None);
    // Another daemon opens what this one sealed.
    let again = self::vault(stores.last().unwrap()).await;
    assert_eq!(read(&again, "a").await.as_deref(), Some("other-value"));
}

/// Every daemon writes the same names and replaces the keys now and then.
pub(crate) async fn daemons_share_secrets_while_keys_are_replaced(stores: Vec<Store>) {
    let mut opened = tokio::task::JoinSet::new();
    for store in stores {
        opened.spawn(async move { vault(&store).await });
    }
    let vaults = opened.join_all().await;
    let writers = vaults.len();
    let mut working = tokio::task::JoinSet::new();
    for (writer, vault) in vaults.iter().cloned().enumerate() {
        working.spawn(async move {
            for number in 0..VALUES {
                let name = format!("name{}", number % 3);
                put(&vault, &name, &format!("value-{writer}-{number}")).await;
                assert!(read(&vault, &name).await.unwrap().starts_with("value-"));
                if number % 10 == writer {
                    vault.rotate_keys().await.unwrap();
                }
            }
        });
    }
    working.join_all().await;
    for vault in &vaults {
        for status in vault.list().await.unwrap() {
            assert_eq!(status.version, i64::try_from(writers * VALUES / 3).unwrap(), "no write was lost");
            assert!(read(vault, &status.name).await.unwrap().starts_with("value-"));
        }
    }
    assert_eq!(vaults[0].rotate_keys().await.unwrap().secrets, 3);
    assert!(read(&vaults[writers - 1], "name2").await.is_some());
}
