//! The start: where the master key comes from, and what is refused without touching anything.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use kheish_host_tests::host::Host;
use serde_json::json;
use tempfile::TempDir;

use super::{
    FILE_VARIABLE, VARIABLE, event, guarded, key_file, key_files_are, key_text,
    rest::{DAMAGES, kept, rows, write},
    store,
};

const KEY: [u8; 32] = *b"\x00\x01not-utf8-\xff\xfe-and-a-good-key--32";

/// A file for a key, for its owner only.
struct KeyFile(TempDir);

impl KeyFile {
    fn new(bytes: impl AsRef<[u8]>) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        put(&file.path(), bytes);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("key")
    }

    fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
    mode(path, 0o600);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Fills a store with two secrets that a connector rests on.
async fn fill(host: &Host) {
    store(host, "one", "value-of-one").await;
    store(host, "two", "former-value-of-two").await;
    store(host, "two", "value-of-two").await;
    let fields = guarded(&json!({ "secret_ref": "one" }), &json!({ "secret_ref": "two" }));
    host.put_http("orders", &fields).await.expect(201);
    takes(host).await;
}

async fn takes(host: &Host) {
    let sender = host.sender("orders").bearer("value-of-one").hmac("value-of-two");
    sender.post(&event()).await.expect(200);
}

/// A daemon that is down, with such a store.
async fn filled() -> Host {
    let mut host = Host::builder().start().await;
    fill(&host).await;
    host.terminate().await;
    host
}

/// A start that must be refused with these words, and must leave everything of secrets as it is.
async fn refuses(host: &Host, what: &str, says: &[&str]) {
    let before = kept(host).await;
    let ended = host.twin().await;
    assert_eq!(ended.code, Some(2), "{what}: {}", ended.stderr);
    for text in says {
        assert!(ended.stderr.contains(text), "{what}: {text:?} is not in:\n{}", ended.stderr);
    }
    for value in ["value-of-one", "value-of-two"] {
        assert!(!ended.stderr.contains(value), "{what}: {}", ended.stderr);
    }
    assert_eq!(kept(host).await, before, "{what}: something was changed");
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_says_where() {
    let mut host = Host::builder().start().await;
    let path = key_file(&host);
    host.logs(&format!("is now in `{}`", path.display())).await;
    let text = key_text(&host);
    assert_eq!(BASE64_STANDARD.decode(text.trim_end()).unwrap().len(), 32);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!host.log().contains(text.trim_end()), "the log holds the key");
    fill(&host).await;
    host.restart().await;
    assert_eq!(key_text(&host), text, "a later start keeps the key");
    assert!(!host.log().contains("is now in"), "{}", host.log());
    key_files_are(&host, &["master.key"]);
    takes(&host).await;
}

#[tokio::test]
async fn a_key_from_outside_is_the_same_in_each_form() {
    let mut host = Host::builder().env(VARIABLE, &BASE64_STANDARD.encode(KEY)).start().await;
    fill(&host).await;
    host.forget_env(VARIABLE);
    for bytes in [
        KEY.to_vec(),
        BASE64_STANDARD.encode(KEY).into_bytes(),
        format!(" {}\n", BASE64_STANDARD.encode(KEY)).into_bytes(),
    ] {
        let file = KeyFile::new(bytes);
        host.set_env(FILE_VARIABLE, &file.text());
        host.restart().await;
        takes(&host).await;
    }
    key_files_are(&host, &[]);
    assert!(!host.post(super::ROTATE, &json!({})).await.expect(200).json["master_key_replaced"].as_bool().unwrap());
    host.forget_env(FILE_VARIABLE);
    host.terminate().await;
    refuses(&host, "no variable", &["is missing", "put it back", FILE_VARIABLE]).await;
    key_files_are(&host, &[]);
    host.set_env(VARIABLE, &BASE64_STANDARD.encode(KEY));
    host.restart().await;
    takes(&host).await;
}

#[tokio::test]
async fn a_key_from_outside_that_does_not_fit_is_refused() {
    let mut host = Host::builder().env(VARIABLE, &BASE64_STANDARD.encode(KEY)).start().await;
    fill(&host).await;
    host.terminate().await;
    let other = BASE64_STANDARD.encode([7; 32]);
    for (text, says) in [
        (other.as_str(), ["sealed under master key", "put the right one there"]),
        ("c2hvcnQ=", ["neither base64 of 32 bytes", "openssl rand -base64 32"]),
        ("no base64!", ["neither base64 of 32 bytes", "openssl rand -base64 32"]),
        ("", ["neither base64 of 32 bytes", "openssl rand -base64 32"]),
    ] {
        host.set_env(VARIABLE, text);
        refuses(&host, text, &[says[0], says[1], VARIABLE]).await;
    }
    let good = KeyFile::new(KEY);
    host.set_env(FILE_VARIABLE, &good.text());
    host.set_env(VARIABLE, &BASE64_STANDARD.encode(KEY));
    refuses(&host, "both", &[VARIABLE, FILE_VARIABLE, "both set", "unset"]).await;
    host.forget_env(VARIABLE);
    for (bytes, bits, says) in [
        (vec![7; 32], 0o600, "put the right one there"),
        (vec![7; 31], 0o600, "neither base64 of 32 bytes"),
        (vec![7; 33], 0o600, "neither base64 of 32 bytes"),
        (vec![b'A'; 100_000], 0o600, "neither base64 of 32 bytes"),
        (KEY.to_vec(), 0o640, "chmod 600"),
        (KEY.to_vec(), 0o604, "chmod 600"),
    ] {
        put(&good.path(), bytes);
        mode(&good.path(), bits);
        refuses(&host, says, &[says, &good.text()]).await;
    }
    fs::remove_file(good.path()).unwrap();
    refuses(&host, "no file", &["cannot open it", &good.text()]).await;
    put(&good.path(), KEY);
    host.restart().await;
    takes(&host).await;
}

#[tokio::test]
async fn a_key_in_the_state_folder_that_does_not_fit_is_refused() {
    let mut host = filled().await;
    let (path, text) = (key_file(&host), key_text(&host));
    let place = path.display().to_string();
    let mut flipped = BASE64_STANDARD.decode(text.trim_end()).unwrap();
    flipped[5] ^= 1;
    for (what, bytes, says) in [
        ("another key", BASE64_STANDARD.encode([7; 32]), "put the right one there"),
        ("a flipped bit", BASE64_STANDARD.encode(flipped), "put the right one there"),
        ("31 bytes", BASE64_STANDARD.encode([7; 31]), "neither base64 of 32 bytes"),
        ("a cut off file", text[..20].to_owned(), "neither base64 of 32 bytes"),
        ("an empty file", String::new(), "neither base64 of 32 bytes"),
    ] {
        put(&path, bytes);
        refuses(&host, what, &[&place, says]).await;
    }
    put(&path, &text);
    mode(&path, 0o644);
    refuses(&host, "readable by others", &[&place, "mode 644", "chmod 600"]).await;
    fs::remove_file(&path).unwrap();
    refuses(&host, "no file", &[&place, "is missing", "put it back", FILE_VARIABLE]).await;
    key_files_are(&host, &[]);
    put(&path, &text);
    host.restart().await;
    takes(&host).await;
}

#[tokio::test]
async fn rows_that_were_touched_are_refused() {
    let mut host = filled().await;
    for (what, damage, says) in DAMAGES {
        let whole = rows(&host).await;
        let mut damaged = rows(&host).await;
        damage(&mut damaged);
        assert_ne!(damaged, whole, "{what}");
        write(&host, &damaged).await;
        refuses(&host, what, says).await;
        write(&host, &whole).await;
        host.restart().await;
        takes(&host).await;
        host.terminate().await;
    }
}

#[tokio::test]
async fn a_damaged_store_and_a_lost_key_do_not_lead_to_a_new_key() {
    let host = filled().await;
    fs::remove_file(key_file(&host)).unwrap();
    let mut damaged = rows(&host).await;
    DAMAGES[5].1(&mut damaged);
    write(&host, &damaged).await;
    let before = rows(&host).await;
    let ended = host.twin().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(rows(&host).await, before);
    key_files_are(&host, &[]);
}
