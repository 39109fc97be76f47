//! A daemon with folders of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Answer, Client},
    problem::INGRESS,
    process::{Ended, Process, signal},
    sender::Sender,
    wait::eventually,
    worker::Worker,
};

mod builder;

pub use builder::HostBuilder;

/// The bundled connector, as the guests folder has it.
pub const HTTP: &str = "plugins/http.wasm";

/// The badly behaved one.
pub const MISBEHAVING: &str = "fixtures/misbehaving.wasm";

/// The one that sends into the log.
pub const OUTBOX: &str = "fixtures/outbox.wasm";

/// The one that makes the requests that its routes describe.
pub const COURIER: &str = "fixtures/courier.wasm";

/// The same as [`OUTBOX`], of another kind, which looks up what it may have sent.
pub const FINDER: &str = "fixtures/finder.wasm";

/// The guest of Slack.
pub const SLACK: &str = "plugins/slack.wasm";

/// The bundled connector for Telegram's bots.
pub const TELEGRAM: &str = "plugins/telegram.wasm";

/// The example of a connector of one's own.
pub const GITHUB: &str = "examples/github.wasm";

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
            unprivileged: false,
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

    /// Leaves this environment variable out from the next start on.
    pub fn forget_env(&mut self, name: &str) {
        self.how.env.retain(|(known, _)| known != name);
    }

    /// Sets this environment variable from the next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.forget_env(name);
        self.how.env.push((name.to_owned(), value.to_owned()));
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

    /// Writes another connectors file, for the next start.
    pub fn reconfigure(&self, connectors: impl ToString) {
        fs::write(self.folder.path().join("connectors.toml"), connectors.to_string())
            .expect("a configuration file is written");
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

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.client.put(path, body).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.client.delete(path).await
    }

    /// Makes or changes the `http` connector of this name through the API.
    pub async fn put_http(&self, name: &str, fields: &Value) -> Answer {
        self.put(&format!("/v1/runtime/connectors/http/{name}"), fields).await
    }

    /// The connectors file.
    pub fn connectors_path(&self) -> PathBuf {
        self.folder.path().join("connectors.toml")
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
