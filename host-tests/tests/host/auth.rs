//! Who may use the control plane (contract section 1.1).

mod access;
mod audit;
mod budget;
mod cors;
mod failures;
mod files;
mod hosts;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use kheish_host_tests::{
    client::Client,
    host::{Host, HostBuilder},
};
use tempfile::TempDir;

const ADMIN: &str = "token-of-the-operator";
const READER: &str = "token-of-the-reader";

/// Both tokens are set; the host's own client is the operator. Refusals are not bounded.
fn guarded() -> HostBuilder {
    let builder = Host::builder().plugins(&[]).settings("[auth]\nfailure_limit = 1000000\n");
    builder.token(ADMIN).env("KHEISH_DAEMON_READONLY_TOKEN", READER)
}

fn anybody(host: &Host) -> Client {
    Client::new(host.client().base())
}

/// The bytes of a request, with lines of the head, each ended.
fn head(method: &str, path: &str, lines: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n").into_bytes()
}

/// A folder for token files.
struct TokenFiles(TempDir);

impl TokenFiles {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Puts a file in place with one step, for its owner only.
    fn put(&self, name: &str, text: &str) {
        self.put_with_mode(name, text, 0o600);
    }

    fn put_with_mode(&self, name: &str, text: &str, mode: u32) {
        let beside = self.path(&format!("{name}.new"));
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// Makes `name` lead to another file, in one step.
    fn link(&self, name: &str, to: &str) {
        let beside = self.path(&format!("{name}.link"));
        symlink(Path::new(to), &beside).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }
}
