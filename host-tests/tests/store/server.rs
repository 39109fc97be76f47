//! A PostgreSQL server of the test's own: in a temporary folder, on a socket in that folder, gone afterwards.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Debian's `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// The server; stopped when dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let made = unprivileged(&tool("initdb"))
            .args(["--auth=trust", "--username=kheish", "--no-sync", "--locale=C", "--encoding=UTF8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let process = unprivileged(&tool("postgres"))
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=64",
                "-c",
                "deadlock_timeout=50ms",
                "-k",
            ])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { folder, process };
        server.wait();
        server
    }

    /// Where stores connect.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://kheish@{host}/postgres")
    }

    fn wait(&self) {
        let ready =
            || Command::new(tool("pg_isready")).arg("-q").arg("-h").arg(self.folder.path()).status().unwrap().success();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !ready() {
            assert!(Instant::now() < deadline, "the PostgreSQL server did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program of PostgreSQL's, on the path or where Debian keeps them.
fn tool(name: &str) -> PathBuf {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let found = debian.chain(on_path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "there is no `{name}`: install PostgreSQL (apt-get install postgresql), or run the tests with `just test`"
        )
    })
}
