//! Sidecars that the daemon starts: their environment, their ends, and how they are started again.

mod deliveries;
mod elsewhere;
mod ends;
mod limits;
mod lives;
mod places;
mod restarts;
mod stops;

use kheish_host_tests::{
    child::{Child, PATH, environment, process_when, running},
    host::{Host, HostBuilder},
    sidecar::{TOKEN, event_with, metric, send},
    wait::eventually,
};
use serde_json::{Value, json};

/// Short waits everywhere.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [sidecars]\nhealth_interval_ms = 50\nhealth_retry_ms = 20\nprobe_timeout_ms = 500\n\
                     [sidecars.child]\nstart_poll_ms = 20\nrestart_ms = 20\nmax_restart_ms = 60\n\
                     stop_grace_ms = 300\n";

fn builder(more: &str) -> HostBuilder {
    Host::builder().plugins(&[]).executor("echo").settings(&format!("{QUICK}{more}"))
}

/// Children that are asked to end may take longer than a test.
fn patient(more: &str) -> HostBuilder {
    let settings = QUICK.replace("stop_grace_ms = 300", "stop_grace_ms = 60000");
    builder("").settings(&format!("{settings}{more}"))
}

/// Ends a child that has to be told, for good.
async fn dismiss(host: &Host, child: &Child) {
    host.delete(PATH).await.expect(200);
    eventually("the child has gone", async || {
        child.told("exit/0").await;
        child.processes().is_empty().then_some(())
    })
    .await;
}

/// The guard of the child with this number.
fn guard(child: &Child, pid: u64) -> u32 {
    let guard = child.processes().into_iter().find(|other| u64::from(*other) != pid && is_guard(*other));
    guard.unwrap()
}

fn is_guard(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"guard")
}

/// The number of a child that is not `former`, once it runs.
async fn another(host: &Host, former: u64) -> u64 {
    let is = |process: &Value| process["state"] == "running" && process["pid"] != json!(former);
    process_when(host, "is another one", is).await["process"]["pid"].as_u64().unwrap()
}

/// How it fares after many more looks.
async fn looked_at_again(host: &Host) -> Value {
    let health = async || host.get(PATH).await.expect(200).json["status"]["health"].clone();
    let began = eventually("it answers", async || health().await["answered_at_ms"].as_i64()).await;
    eventually("it was looked at again and again", async || {
        let health = health().await;
        health["answered_at_ms"].as_i64().is_some_and(|at| at > began + 500).then_some(health)
    })
    .await
}

/// Sends an event as the child, and gives the run.
async fn send_as(host: &Host, instance: &Value, id: &str) -> String {
    let event = event_with(id, &json!({ "instance_id": instance }));
    send(host, "bridge", &event).await.expect(200).text("/run_id").to_owned()
}

#[tokio::test]
async fn a_child_is_started_takes_events_along_and_answers() {
    let (host, child) = (builder("").start().await, Child::new());
    child.put(&host, "", &json!({ "args": ["--some", "argument"], "working_dir": "/" })).await;
    let pid = running(&host).await;
    let view = host.get(PATH).await.expect(200).json;
    let health = &view["status"]["health"];
    assert_eq!((&health["state"], &health["process"]["restarts"]), (&json!("ready"), &json!(0)), "{view}");
    assert_eq!(view["child_process"]["env_keys"], json!(["DOUBLE", "DOUBLE_MARK"]));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let event = event_with("e-1", &json!({ "instance_id": health["instance_id"] }));
    let run = send(&host, "bridge", &event).await.expect(200).text("/run_id").to_owned();
    let stranger = send(&host, "bridge", &event_with("e-2", &json!({ "instance_id": "another" }))).await.expect(200);
    assert_eq!(stranger.text("/status"), "rejected");
    assert!(stranger.text("/reason").contains("instance_id"), "{}", stranger.json);
    host.deliveries_when(&run, 1, "delivered").await;
    let deliveries = child.told("deliveries/").await;
    assert_eq!((&deliveries[0]["content"], &deliveries[0]["reply_route"]), (&json!("hello"), &json!("room")));
    assert_eq!(metric(&host, "child_restarts_total{connector=\"bridge\"}").await, 0.0);
    assert_eq!(host.get("/v1/status").await.json["connectors"][0]["health"]["process"]["pid"], json!(pid));
}

#[tokio::test]
async fn children_and_guards_have_nothing_of_the_daemon_s_environment() {
    let secret = "a-variable-of-the-daemon-s-own";
    let host =
        builder("").env("SOME_SECRET", secret).env("LANG", "C.UTF-8").token("an-admin-token-of-32-characters!").start();
    let (host, child) = (host.await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    let processes = child.processes();
    assert_eq!(processes.len(), 2, "the child and its guard");
    for pid in processes {
        let mut names: Vec<String> =
            environment(pid).iter().map(|entry| entry.split('=').next().unwrap_or_default().to_owned()).collect();
        names.retain(|name| {
            !["PATH", "HOME", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"].contains(&name.as_str())
        });
        names.sort();
        let own = ["BASE_URL", "CREDENTIAL_KEYS_JSON", "CREDENTIAL_TOKEN", "DAEMON_BASE_URL", "NAME", "SHARED_TOKEN"];
        let own = own.map(|name| format!("KHEISH_EXTERNAL_CONNECTOR_{name}"));
        let expected: Vec<String> =
            ["DOUBLE".to_owned(), "DOUBLE_MARK".to_owned()].into_iter().chain(own).chain(["LANG".to_owned()]).collect();
        assert_eq!(names, expected);
        assert!(!environment(pid).concat().contains(secret));
    }
    for (name, value) in [
        ("NAME", "bridge"),
        ("BASE_URL", &child.base_url()),
        ("DAEMON_BASE_URL", host.client().base()),
        ("SHARED_TOKEN", TOKEN),
        ("CREDENTIAL_KEYS_JSON", "[]"),
    ] {
        assert_eq!(child.variable(&format!("KHEISH_EXTERNAL_CONNECTOR_{name}")).await, value, "{name}");
    }
}

#[tokio::test]
async fn what_a_child_writes_is_in_the_log_line_by_line() {
    let (host, child) = (builder("lines_per_second = 30\nline_bytes = 100\n").start().await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    child.told(&format!("say/a+line+with+{TOKEN}+in+it")).await;
    host.logs("a line with [masked] in it").await;
    child.told("flood/5000").await;
    host.logs("lines of the sidecar's output were left out").await;
    let log = host.log();
    assert!(!log.contains(TOKEN), "{log}");
    let shown: Vec<&str> = log.lines().filter(|line| line.contains(" flood ") || line.contains("flood 0 ")).collect();
    assert!(!shown.is_empty() && shown.len() <= 30 * 60, "{} lines", shown.len());
    assert!(shown.iter().all(|line| line.len() < 400), "{shown:?}");
    for stream in ["stdout", "stderr"] {
        assert!(log.lines().any(|line| line.contains("[masked] in it") && line.contains(stream)), "{stream}");
    }
}

#[tokio::test]
async fn a_key_that_a_child_prints_line_by_line_is_masked() {
    let (host, child) = (builder("").start().await, Child::new());
    let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"];
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n{}\nAQAB\n-----END PRIVATE KEY-----\n", lines[0], lines[1]);
    for (name, value) in [("plain-key", key.clone()), ("escaped-key", key.replace('\n', "\\n").replace('B', "D"))] {
        let secret =
            json!({ "slot_id": name, "provider": "generic", "mode": "opaque_secret", "state": { "value": value } });
        host.post("/v1/runtime/secrets", &secret).await.expect(200);
    }
    child.put(&host, "", &json!({ "credential_slots": { "KEY": "plain-key", "OTHER_KEY": "escaped-key" } })).await;
    running(&host).await;
    let printed = lines.map(str::to_owned).into_iter().chain(lines.map(|line| line.replace('B', "D")));
    for (number, line) in printed.clone().enumerate() {
        child.told(&format!("say/line+{number}:+{line}.")).await;
        host.logs(&format!("line {number}: [masked].")).await;
    }
    child.told("say/the+last+line:+AQAB.").await;
    host.logs("the last line: AQAB.").await;
    let log = host.log();
    printed.for_each(|line| assert!(!log.contains(&line), "{log}"));
}
