//! A sidecar that the daemon starts (`sidecar-double`): its connector, what it is told to do, and what runs of it.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, try_answer},
    host::Host,
    places,
    sidecar::TOKEN,
    wait::eventually,
};

/// A variable that everybody has who is started with the sidecar.
const MARK: &str = "DOUBLE_MARK";

/// A sidecar that a daemon may start, at an address of its own.
pub struct Child {
    address: SocketAddr,
}

impl Child {
    /// None runs yet. The address is free.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { address: listener.local_addr().expect("its address") }
    }

    /// Where it answers.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it answers, to take its place.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fields of its connector: it begins like this, and its `child_process` has these members too.
    pub fn fields(&self, how: &str, members: &Value) -> Value {
        let mut child = json!({
            "command": places::beside("sidecar-double"), "env": { "DOUBLE": how, MARK: self.mark() },
        });
        for (name, value) in members.as_object().into_iter().flatten() {
            child[name] = value.clone();
        }
        json!({
            "platform": "forge", "mode": "child_process", "base_url": self.base_url(), "child_process": child,
            "shared_token": { "value": TOKEN }, "session_policy": { "create_if_missing": true },
        })
    }

    /// Makes its connector `bridge`.
    pub async fn put(&self, host: &Host, how: &str, members: &Value) {
        host.put(PATH, &self.fields(how, members)).await.expect(201);
    }

    /// Tells it to do something, and gives what it says; null when it says nothing.
    pub async fn told(&self, what: &str) -> Value {
        let client = Client::new(&self.base_url());
        let request = client.request(reqwest::Method::GET, &format!("/do/{what}"));
        try_answer(request).await.map(|answer| answer.json).unwrap_or_default()
    }

    /// Waits until it can be told something.
    pub async fn listens(&self) {
        eventually("the child listens", async || self.told("env/").await.is_object().then_some(())).await;
    }

    /// A variable of its environment.
    pub async fn variable(&self, name: &str) -> String {
        self.told("env/").await[name].as_str().unwrap_or_default().to_owned()
    }

    /// Fetches one of its credentials with this token.
    pub async fn fetch(&self, host: &Host, key: &str, token: &str) -> Answer {
        let client = Client::new(host.client().base()).with_token(token);
        client.get(&format!("/v1/connectors/external/bridge/credentials/{key}")).await
    }

    /// Everybody who was started with it and lives: itself, its guard, and their descendants.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.mark());
        let entries = fs::read_dir("/proc").expect("the processes").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| environment(*pid).contains(&mark)).collect()
    }

    /// Waits until nothing of it is left. A process that ends loses its environment before it loses its port.
    pub async fn is_gone(&self) {
        eventually("nothing of the child is left", async || self.processes().is_empty().then_some(())).await;
        eventually("its port is free", async || TcpListener::bind(self.address).ok()).await;
    }

    fn mark(&self) -> String {
        self.address.port().to_string()
    }
}

impl Default for Child {
    fn default() -> Self {
        Self::new()
    }
}

/// The connector that [`Child::put`] makes.
pub const PATH: &str = "/v1/runtime/connectors/external/bridge";

/// What the kernel says a process was started with; nothing when it is gone.
pub fn environment(pid: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let entries = text.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

/// How the program of the connector `bridge` stands, once it is like that.
pub async fn process_when(host: &Host, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the child {what}"), async || {
        let health = host.get(PATH).await.expect(200).json["status"]["health"].clone();
        is(&health["process"]).then_some(health)
    })
    .await
}

/// The number of its process, once it runs.
pub async fn running(host: &Host) -> u64 {
    let health = process_when(host, "runs", |process| process["state"] == "running").await;
    health["process"]["pid"].as_u64().expect("it has a number")
}
