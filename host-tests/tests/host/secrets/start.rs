//! What must be right before the daemon starts.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use kheish_host_tests::host::Host;

use super::{edit, fields, sealed, takes};

const KEY: &str = "KHEISH_AUTH_STORE_MASTER_KEY";
const KEY_FILE: &str = "KHEISH_AUTH_STORE_MASTER_KEY_FILE";

/// 32 bytes in base64.
const SOME: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OTHER: &str = "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";

fn key_of(host: &Host) -> PathBuf {
    host.state_folder().join("master.key")
}

fn protect(path: &PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A daemon with a connector whose token is sealed, stopped in order.
async fn stopped() -> Host {
    let mut host = Host::builder().start().await;
    host.put_http("orders", &fields("token-of-orders")).await.expect(201);
    assert_eq!(host.terminate().await.code, Some(0));
    host
}

/// Asserts that the daemon does not start, says why, and touches neither the key nor what is sealed.
async fn refuses(host: &Host, says: &[&str]) {
    let look = async || (fs::read(key_of(host)).ok(), sealed(&host.state_folder()).await);
    let before = look().await;
    let ended = host.twin().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for text in says {
        assert!(ended.stderr.contains(text), "no {text:?} in:\n{}", ended.stderr);
    }
    assert!(look().await == before, "a refusal to start wrote something");
    assert!(!host.state_folder().join("master.key.next").exists());
}

/// Asserts that all is well again.
async fn recovers(mut host: Host) {
    host.restart().await;
    assert_eq!(takes(&host, "orders", "token-of-orders", "again").await, 200);
}

#[tokio::test]
async fn the_first_start_makes_a_key_for_its_owner_only() {
    let host = Host::builder().start().await;
    host.logs("keep a copy of it").await;
    let path = key_of(&host);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim().len(), 44, "32 bytes in base64");
}

#[tokio::test]
async fn a_key_that_is_gone_wrong_short_or_open_to_others_is_refused() {
    let host = stopped().await;
    let path = key_of(&host);
    let right = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    refuses(&host, &["master.key"]).await;
    for (text, says) in [(OTHER, "key"), ("c2hvcnQ=", "32 bytes"), ("not base64!", "master.key"), ("", "master.key")] {
        fs::write(&path, text).unwrap();
        protect(&path, 0o600);
        refuses(&host, &["master.key", says]).await;
    }
    fs::write(&path, &right).unwrap();
    protect(&path, 0o644);
    refuses(&host, &["master.key", "chmod 600"]).await;
    protect(&path, 0o600);
    recovers(host).await;
}

#[tokio::test]
async fn a_key_may_come_from_a_variable_or_a_file_and_from_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, SOME).unwrap();
    protect(&file, 0o600);
    let both = Host::builder().env(KEY, SOME).env(KEY_FILE, file.to_str().unwrap()).run_to_end().await;
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    assert!(both.stderr.contains(KEY) && both.stderr.contains(KEY_FILE), "{}", both.stderr);
    for bad in ["", "short", "c2hvcnQ="] {
        let ended = Host::builder().env(KEY, bad).run_to_end().await;
        assert_eq!(ended.code, Some(2), "{bad}: {}", ended.stderr);
        assert!(ended.stderr.contains(KEY), "{bad}: {}", ended.stderr);
    }
    let link = folder.path().join("link");
    symlink(&file, &link).unwrap();
    let mut host = Host::builder().env(KEY_FILE, link.to_str().unwrap()).start().await;
    host.put_http("orders", &fields("token-of-orders")).await.expect(201);
    assert!(!key_of(&host).exists());
    let rotated = host.post("/v1/runtime/secret-keys/rotate", &serde_json::json!({})).await.expect(200).json;
    assert_eq!(rotated["master_key_replaced"], false);
    host.terminate().await;
    // The same 32 bytes, raw.
    fs::write(&file, (1..=32).collect::<Vec<u8>>()).unwrap();
    protect(&file, 0o644);
    refuses(&host, &["link", "chmod 600"]).await;
    protect(&file, 0o600);
    recovers(host).await;
}

#[tokio::test]
async fn a_byte_of_the_store_that_was_changed_is_refused() {
    for (breaks, mends, says) in [
        (
            "UPDATE secrets SET sealed = substr(sealed, 1, 40) || X'00' || substr(sealed, 42), updated_ms = updated_ms",
            None,
            "connectors.http.orders.bearer_token",
        ),
        (
            "UPDATE secrets SET name = 'another'",
            Some("UPDATE secrets SET name = 'connectors.http.orders.bearer_token'"),
            "another",
        ),
        ("UPDATE secrets SET version = version + 1", Some("UPDATE secrets SET version = version - 1"), "bearer_token"),
        ("UPDATE data_keys SET wrapped = substr(wrapped, 1, 40) || X'00' || substr(wrapped, 42)", None, "data key 1"),
    ] {
        let host = stopped().await;
        let whole = fs::read(host.state_folder().join("kheish.db")).unwrap();
        edit(&host.state_folder(), breaks).await;
        refuses(&host, &[says]).await;
        match mends {
            Some(statement) => edit(&host.state_folder(), statement).await,
            None => fs::write(host.state_folder().join("kheish.db"), whole).unwrap(),
        }
        recovers(host).await;
    }
}
