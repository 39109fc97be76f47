//! Sidecars that the daemon starts, and which have nothing to do: what keeping them costs.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kheish_host_tests::{
    child::{Child, environment},
    client::Client,
};
use serde_json::{Value, json};

use crate::{daemon::Place, machine, say};

/// The state folder of this section.
const STATE: &str = "children";

/// How many there are.
const COUNT: usize = 100;

/// How long all of them may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// From one look at them to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long their cost is counted: two looks at the health of each, and more.
const COUNTED: Duration = Duration::from_secs(40);

/// What sidecars cost that the daemon keeps.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Children {
    count: usize,
    /// From the first request that makes one until all are ready.
    pub(crate) ready_s: f64,
    /// Processor time of the daemon, per second, in milliseconds.
    pub(crate) daemon_cpu_ms: f64,
    /// The same of all guards together.
    pub(crate) guards_cpu_ms: f64,
    /// Anonymous memory of one guard, mean.
    pub(crate) guard_mib: f64,
}

/// Makes them, waits until they rest, and counts.
pub(crate) async fn measure(place: &Place) -> Result<Children> {
    say(&format!("{COUNT} sidecars that the daemon starts"));
    let daemon = place.start(STATE).await?;
    let client = Client::new(&format!("http://{}", daemon.address()));
    let began = Instant::now();
    let mut ports = Vec::new();
    while ports.len() < COUNT {
        let child = Child::new();
        if ports.contains(&child.address()) {
            continue;
        }
        ports.push(child.address());
        let path = format!("/v1/runtime/connectors/external/child-{}", ports.len());
        let answer = client.put(&path, &child.fields("", &json!({}))).await;
        ensure!(answer.status == 201, "a connector was not made: {}", answer.json);
    }
    while running(&client).await < COUNT {
        ensure!(began.elapsed() < PATIENCE, "the sidecars are not ready after {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
    let ready_s = began.elapsed().as_secs_f64();
    let guards = guards(daemon.id())?;
    ensure!(guards.len() == COUNT, "there are {} guards", guards.len());
    let (daemon_before, guards_before) = (cpu(&[daemon.id()])?, cpu(&guards)?);
    tokio::time::sleep(COUNTED).await;
    let per_second = |seconds: f64| seconds * 1e3 / COUNTED.as_secs_f64();
    let measured = Children {
        count: COUNT,
        ready_s,
        daemon_cpu_ms: per_second(cpu(&[daemon.id()])? - daemon_before),
        guards_cpu_ms: per_second(cpu(&guards)? - guards_before),
        guard_mib: memory(&guards)? / guards.len() as f64,
    };
    daemon.stop().await?;
    Ok(measured)
}

async fn running(client: &Client) -> usize {
    let list = client.get("/v1/runtime/connectors").await.json;
    let views = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let runs = |view: &&Value| view["status"]["health"]["process"]["state"] == "running";
    views.iter().filter(runs).count()
}

/// Children of the daemon that have the environment of a sidecar.
fn guards(daemon: u32) -> Result<Vec<u32>> {
    let tasks = fs::read_dir(format!("/proc/{daemon}/task"))?.flatten().map(|entry| entry.path().join("children"));
    let lists: String = tasks.map(|path: PathBuf| fs::read_to_string(path).unwrap_or_default()).collect();
    let pids = lists.split_whitespace().filter_map(|pid| pid.parse().ok());
    let has_name =
        |pid: &u32| environment(*pid).iter().any(|entry| entry.starts_with("KHEISH_EXTERNAL_CONNECTOR_NAME="));
    Ok(pids.filter(has_name).collect())
}

fn cpu(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|pid| machine::cpu_seconds(&pid.to_string())).sum()
}

/// What belongs to no file, in MiB, of all together.
fn memory(processes: &[u32]) -> Result<f64> {
    let of = |pid: &u32| -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(line.trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    };
    processes.iter().map(of).sum()
}
