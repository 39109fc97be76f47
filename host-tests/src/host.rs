//! A daemon with folders of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Answer, Client},
    places, plugins,
    problem::INGRESS,
    process::{Ended, Process, signal},
    sender::Sender,
    wait::eventually,
    worker::Worker,
};

/// The bundled connector, as the guests folder has it.
pub const HTTP: &str = "plugins/http.wasm";

/// The badly behaved one.
pub const MISBEHAVING: &str = "fixtures/misbehaving.wasm";

/// The example of a connector of one's own.
pub const GITHUB: &str = "examples/github.wasm";

const TOKEN_VARIABLE: &str = "KHEISH_DAEMON_ADMIN_TOKEN";

/// How a daemon shall be started.
#[derive(Clone, Debug)]
pub struct HostBuilder {
    connectors: Option<String>,
    settings: Option<String>,
    executor: &'static str,
    listen: Option<&'static str>,
    plugins: Vec<(PathBuf, String)>,
    env: Vec<(String, String)>,
    flags: Vec<String>,
    token: Option<String>,
}

impl HostBuilder {
    /// The connectors file.
    #[must_use]
    pub fn connectors(mut self, text: impl ToString) -> Self {
        self.connectors = Some(text.to_string());
        self
    }

    /// The settings file.
    #[must_use]
    pub fn settings(mut self, text: &str) -> Self {
        self.settings = Some(text.to_owned());
        self
    }

    /// Who performs runs: `claim` unless said otherwise.
    #[must_use]
    pub fn executor(mut self, name: &'static str) -> Self {
        self.executor = name;
        self
    }

    /// Where to listen: a free loopback port unless said otherwise.
    #[must_use]
    pub fn listen(mut self, address: &'static str) -> Self {
        self.listen = Some(address);
        self
    }

    /// The address comes from the variable that the test sets.
    #[must_use]
    pub fn listen_by_variable(mut self) -> Self {
        self.listen = None;
        self
    }

    /// The plugin folder holds these guests and no others.
    #[must_use]
    pub fn plugins(mut self, guests: &[&str]) -> Self {
        self.plugins.clear();
        guests.iter().fold(self, |this, guest| this.plugin_as(guest, file_name(guest)))
    }

    /// The plugin folder also holds this guest, under this name.
    #[must_use]
    pub fn plugin_as(mut self, guest: &str, name: &str) -> Self {
        self.plugins.push((places::guest(guest), name.to_owned()));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A flag and its value.
    #[must_use]
    pub fn flag(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// An admin token; the host's own client sends it.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.env(TOKEN_VARIABLE, token)
    }

    /// Starts the daemon and waits until it takes work.
    pub async fn start(self) -> Host {
        let folder = self.unpack();
        Host::begin(self, folder).await
    }

    /// Starts a daemon that is expected to end by itself.
    pub async fn run_to_end(self) -> Ended {
        let folder = self.unpack();
        Process::spawn(&mut self.command(folder.path())).ended().await
    }

    fn unpack(&self) -> TempDir {
        let folder = tempfile::Builder::new().prefix("kheish-test-").tempdir().expect("a temporary folder");
        let folder_of_plugins = folder.path().join("plugins");
        fs::create_dir(&folder_of_plugins).expect("the plugin folder is made");
        for (source, name) in &self.plugins {
            plugins::install(&fs::read(source).expect("a guest can be read"), &folder_of_plugins.join(name));
        }
        for (text, name) in [(&self.connectors, "connectors.toml"), (&self.settings, "settings.toml")] {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).expect("a configuration file is written");
            }
        }
        folder
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(places::binary());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KHEISH")) {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "info").envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("serve").args(["--executor", self.executor]);
        command.args(self.listen.map(|address| ["--listen", address]).into_iter().flatten());
        command.arg("--state-root").arg(folder.join("state")).arg("--plugins").arg(folder.join("plugins"));
        if self.connectors.is_some() {
            command.arg("--connectors-config").arg(folder.join("connectors.toml"));
        }
        if self.settings.is_some() {
            command.arg("--config").arg(folder.join("settings.toml"));
        }
        command.args(&self.flags);
        command
    }
}

fn file_name(guest: &str) -> &str {
    guest.rsplit('/').next().unwrap_or(guest)
}

/// A daemon that runs, with its folders.
#[derive(Debug)]
pub struct Host {
    process: Process,
    client: Client,
    how: HostBuilder,
    folder: TempDir,
}

impl Host {
    /// A daemon with the bundled plugin, no connector, and the executor `claim`.
    pub fn builder() -> HostBuilder {
        let how = HostBuilder {
            connectors: None,
            settings: None,
            executor: "claim",
            listen: Some("127.0.0.1:0"),
            plugins: Vec::new(),
            env: Vec::new(),
            flags: Vec::new(),
            token: None,
        };
        how.plugins(&[HTTP])
    }

    async fn begin(how: HostBuilder, folder: TempDir) -> Self {
        let (process, client) = launch(&how, folder.path()).await;
        Self { process, client, how, folder }
    }

    /// Kills the daemon if it still runs, and starts it again on the same folders.
    pub async fn restart(&mut self) {
        self.process.kill();
        let (process, client) = launch(&self.how, self.folder.path()).await;
        self.process = process;
        self.client = client;
    }

    /// Ends the daemon as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills the daemon while others hold on to the host.
    pub fn killer(&self) -> Killer {
        Killer(self.process.id())
    }

    /// Asks the daemon to stop and waits for its end.
    pub async fn terminate(&mut self) -> Ended {
        self.process.ask_to_stop();
        self.process.ended().await
    }

    /// Asks the daemon to stop.
    pub fn ask_to_stop(&self) {
        self.process.ask_to_stop();
    }

    /// Waits for the daemon's end.
    pub async fn ended(&mut self) -> Ended {
        self.process.ended().await
    }

    /// Starts a second daemon on the same folders, which is expected to end by itself.
    pub async fn twin(&self) -> Ended {
        Process::spawn(&mut self.how.command(self.folder.path())).ended().await
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The process's id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What the daemon has logged since its last start, as far as it has been read: see [`Self::logs`].
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the daemon's log holds this: an answer can be here before the line that was written before it.
    pub async fn logs(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), async || self.log().contains(text).then_some(())).await;
    }

    /// The state folder.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The path of a plugin file.
    pub fn plugin_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("plugins").join(name)
    }

    /// Sends to this daemon.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client.post(path, body).await
    }

    /// A sender of events to the `http` connector of this name, without credentials yet.
    pub fn sender(&self, connector: &str) -> Sender {
        Sender::new(&Client::new(self.client.base()), "http", connector)
    }

    /// A sender of events to a connector of the `misbehaving` kind.
    pub fn misbehaving(&self, connector: &str) -> Sender {
        Sender::new(&Client::new(self.client.base()), "misbehaving", connector)
    }

    /// A worker of this name.
    pub fn worker(&self, name: &str) -> Worker {
        Worker::new(&self.client, name)
    }

    /// What is stored, by count: sessions, runs and deliveries by status.
    pub async fn ledger(&self) -> Value {
        let status = self.get("/v1/status").await.expect(200).json;
        json!({ "sessions": status["sessions"], "runs": status["runs"], "deliveries": status["deliveries"] })
    }

    /// Makes a connector request that must be refused like this, and asserts that nothing of it was kept.
    pub async fn refuses(&self, status: u16, code: &str, request: impl Future<Output = Answer>) -> Answer {
        let before = self.ledger().await;
        let answer = request.await;
        answer.problem(status, INGRESS, code);
        assert_eq!(self.ledger().await, before, "a refusal left something behind");
        answer
    }

    /// Makes a session.
    pub async fn make_session(&self, id: &str) {
        self.post("/v1/sessions", &json!({ "session_id": id })).await.expect(201);
    }

    /// Submits a run to a session that exists.
    pub async fn submit(&self, session: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/sessions/{session}/runs"), body).await
    }

    /// A run as it stands.
    pub async fn run(&self, id: &str) -> Value {
        self.get(&format!("/v1/runs/{id}")).await.expect(200).json
    }

    /// A run once it has this status.
    pub async fn run_when(&self, id: &str, status: &str) -> Value {
        eventually(&format!("run {id} is {status}"), async || {
            let run = self.run(id).await;
            (run["status"] == status).then_some(run)
        })
        .await
    }

    /// A run once all of its deliveries, so many, have this status.
    pub async fn deliveries_when(&self, run: &str, count: usize, status: &str) -> Vec<Value> {
        eventually(&format!("{count} deliveries of {run} are {status}"), async || {
            let deliveries = self.run(run).await["deliveries"].as_array().cloned().unwrap_or_default();
            let there = deliveries.len() == count && deliveries.iter().all(|one| one["status"] == status);
            there.then_some(deliveries)
        })
        .await
    }

    /// How a plugin file fares; null when the daemon does not know it.
    pub async fn plugin(&self, file: &str) -> Value {
        let reports = self.get("/v1/plugins").await.expect(200);
        reports.items().iter().find(|report| report["file"] == file).cloned().unwrap_or_default()
    }

    /// A plugin file's report once it is like that.
    pub async fn plugin_when(&self, file: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("plugin {file} {what}"), async || {
            let report = self.plugin(file).await;
            is(&report).then_some(report)
        })
        .await
    }
}

/// Ends a daemon as a power cut would.
#[derive(Debug)]
pub struct Killer(u32);

impl Killer {
    /// Does it.
    pub fn kill(&self) {
        signal(self.0, "KILL");
    }
}

async fn launch(how: &HostBuilder, folder: &Path) -> (Process, Client) {
    let mut process = Process::spawn(&mut how.command(folder));
    let plain = Client::new(&process.address().await);
    eventually("the daemon is ready", async || (plain.get("/readyz").await.status == 200).then_some(())).await;
    let client = match &how.token {
        Some(token) => plain.with_token(token),
        None => plain,
    };
    (process, client)
}
