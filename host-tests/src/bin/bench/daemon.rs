//! A daemon under measurement, on a state folder that outlives it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use kheish_host_tests::process::Process;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{connection::Connection, request};

/// The token that every connector asks for.
pub(crate) const TOKEN: &str = "bench-token";

/// The key that every connector checks signatures with.
pub(crate) const SECRET: &str = "bench-secret";

/// One session for all events, where a connector or the comparison wants that.
pub(crate) const FIXED_SESSION: &str = "bench-fixed";

/// The pause between looks at whether the daemon is ready.
const PAUSE: Duration = Duration::from_millis(1);

/// What to start and where to put its state.
#[derive(Debug)]
pub(crate) struct Place {
    kheishd: PathBuf,
    plugins: PathBuf,
    folder: TempDir,
}

impl Place {
    /// A temporary folder with the connectors file in it.
    pub(crate) fn new(kheishd: &Path, plugins: &Path) -> Result<Self> {
        ensure!(kheishd.is_file(), "there is no `{}`: build it first, with --release", kheishd.display());
        for plugin in ["http.wasm", "slack.wasm"] {
            ensure!(plugins.join(plugin).is_file(), "there is no {plugin} in `{}`", plugins.display());
        }
        let folder = tempfile::Builder::new().prefix("kheish-bench-").tempdir().context("making a temporary folder")?;
        fs::write(folder.path().join("connectors.toml"), connectors())?;
        Ok(Self { kheishd: kheishd.to_owned(), plugins: plugins.to_owned(), folder })
    }

    /// The temporary folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bundled guest of a kind.
    pub(crate) fn guest(&self, kind: &str) -> PathBuf {
        self.plugins.join(format!("{kind}.wasm"))
    }

    /// A state folder of this name, which need not exist.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `kheishd bench …` and returns what it prints.
    pub(crate) fn run(&self, prepare: impl FnOnce(&mut Command)) -> Result<Vec<u8>> {
        let mut command = self.command("bench");
        prepare(&mut command);
        let output = command.output().context("running kheishd")?;
        if !output.status.success() {
            bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.kheishd);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KHEISH")) {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "warn").arg(what);
        command
    }

    /// Starts a daemon on a state folder whose runs nobody performs, and waits until it is ready.
    pub(crate) async fn start(&self, state: &str) -> Result<Daemon> {
        self.start_with(state, "claim").await
    }

    /// The same with this executor.
    pub(crate) async fn start_with(&self, state: &str, executor: &str) -> Result<Daemon> {
        self.launch(state, executor, None).await
    }

    /// Nobody performs runs, and these settings count.
    pub(crate) async fn start_set(&self, state: &str, settings: &str) -> Result<Daemon> {
        let file = self.folder.path().join(format!("{state}.toml"));
        fs::write(&file, settings)?;
        self.launch(state, "claim", Some(&file)).await
    }

    async fn launch(&self, state: &str, executor: &str, settings: Option<&Path>) -> Result<Daemon> {
        let mut command = self.command("serve");
        command.args(["--listen", "127.0.0.1:0", "--executor", executor, "--native-noop"]);
        command.arg("--state-root").arg(self.state(state)).arg("--plugins").arg(&self.plugins);
        command.arg("--connectors-config").arg(self.folder.path().join("connectors.toml"));
        if let Some(file) = settings {
            command.arg("--config").arg(file);
        }
        let mut process = Process::spawn(&mut command);
        let address = process.address().await.trim_start_matches("http://").to_owned();
        let daemon = Daemon { process, address };
        while daemon.get("/readyz").await?.0 != 200 {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(daemon)
    }
}

/// The guest with sessions by binding key, the guest with one session, and native code with that same session: native
/// code that parses nothing has no binding keys to go by.
fn connectors() -> String {
    let common = format!(
        "name = \"bench\"\nbearer_token = \"{TOKEN}\"\nhmac_secret = \"{SECRET}\"\n\
         ingress_events_per_second = 1000000\nsession_policy = {{ create_if_missing = true }}\n"
    );
    let fixed = format!("fixed_session_id = \"{FIXED_SESSION}\"\n");
    let other = common.replace("\"bench\"", "\"fixed\"");
    // Nobody is at its address, and nothing is sent there.
    let sidecar = format!(
        "name = \"bench\"\nplatform = \"bench\"\nbase_url = \"http://127.0.0.1:9\"\nallow_private_network = true\n\
         shared_token = \"{TOKEN}\"\ningress_events_per_second = 1000000\nsession_policy = {{ create_if_missing = true }}\n"
    );
    format!(
        "[[http_connectors]]\n{common}\n[[http_connectors]]\n{other}{fixed}\n[[connectors]]\nkind = \"noop\"\n{common}{fixed}\n\
         [[external_connectors]]\n{sidecar}"
    )
}

/// A daemon that is ready.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    address: String,
}

impl Daemon {
    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// GET: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        let stream = TcpStream::connect(&self.address).await.context("connecting to the daemon")?;
        let mut connection = Connection::new(stream)?;
        connection.exchange(request::get(path, &self.address).as_bytes()).await
    }

    /// Resident memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim_end_matches("kB").trim().parse()?)
        };
        Ok(Memory { resident_mib: kib("VmRSS:")? / 1024.0, anonymous_mib: kib("RssAnon:")? / 1024.0 })
    }

    /// Stops it in order, so that its database is one file afterwards.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.ask_to_stop();
        let ended = self.process.ended().await;
        ensure!(ended.code.is_none_or(|code| code == 0), "the daemon did not end well:\n{}", ended.stderr);
        Ok(())
    }
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Memory {
    /// All of it, pages of the binary included.
    pub(crate) resident_mib: f64,
    /// What belongs to no file.
    pub(crate) anonymous_mib: f64,
}
