//! Compiled code on disk: private, checked, and never needed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use kheish_host_tests::host::Host;

use super::{builder, sender};

fn entries(host: &Host, extension: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(host.state_folder().join("compiled")).unwrap();
    folder
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == extension))
        .collect()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_folders_are_the_daemons_own() {
    let host = builder().start().await;
    assert_eq!(mode(&host.state_folder()), 0o700);
    assert_eq!(mode(&host.state_folder().join("compiled")), 0o700);
    for path in entries(&host, "cwasm").iter().chain(&entries(&host, "sha256")) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(entries(&host, "cwasm").len(), 1);
}

#[tokio::test]
async fn what_was_compiled_is_used_again() {
    let mut host = builder().start().await;
    let entry = entries(&host, "cwasm").remove(0);
    let before = fs::metadata(&entry).unwrap();
    host.terminate().await;
    host.restart().await;
    sender(&host).say("k1", "room", "hello").await.expect(200);
    let after = fs::metadata(&entry).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()), "it was written again");
}

#[tokio::test]
async fn an_entry_that_was_damaged_is_made_anew() {
    let mut host = builder().start().await;
    let entry = entries(&host, "cwasm").remove(0);
    let good = fs::read(&entry).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (damage, bytes) in [("emptied", Vec::new()), ("cut", good[..good.len() / 2].to_vec()), ("changed", flipped)] {
        host.terminate().await;
        fs::write(&entry, bytes).unwrap();
        host.restart().await;
        sender(&host).say(damage, "room", "hello").await.expect(200);
        host.logs("made anew").await;
        assert_eq!(fs::read(&entry).unwrap().len(), good.len(), "{damage}");
    }
}

#[tokio::test]
async fn an_entry_without_its_checksum_does_not_count() {
    let mut host = builder().start().await;
    host.terminate().await;
    entries(&host, "sha256").iter().for_each(|path| fs::remove_file(path).unwrap());
    host.restart().await;
    sender(&host).say("k1", "room", "hello").await.expect(200);
    assert_eq!(entries(&host, "sha256").len(), 1);
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_not_trusted() {
    let mut host = builder().start().await;
    host.terminate().await;
    let folder = host.state_folder().join("compiled");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let ended = host.twin().await;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains(&folder.display().to_string()) && ended.stderr.contains("0700"), "{}", ended.stderr);
}
