//! `doctor`: what it finds on this machine and at a daemon.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use kheish_host_tests::{
    cli::{Cli, Ran},
    host::Host,
    receiver::{Receiver, Reply},
};
use serde_json::{Value, json};

use super::{answer, problem, scripted};

/// One check of the JSON form.
fn check<'d>(document: &'d Value, name: &str) -> (&'d str, &'d str) {
    let found = document.as_array().into_iter().flatten().find(|check| check["check"] == name).unwrap();
    (found["verdict"].as_str().unwrap(), found["found"].as_str().unwrap())
}

async fn doctor(cli: &Cli, folder: &Path) -> Ran {
    cli.run(&["doctor", "--output", "json", "--state-root", folder.to_str().unwrap()]).await
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_healthy_daemon_passes() {
    let host = Host::builder().start().await;
    let found = doctor(&Cli::of(&host), &host.state_folder()).await.expect(0).json();
    for name in ["folder", "lock", "port", "daemon", "clock", "plugins", "executors", "backlog"] {
        assert_eq!(check(&found, name).0, "ok", "{name}: {found:#}");
    }
    assert!(check(&found, "lock").1.contains("a daemon holds"), "{found:#}");
    let text = Cli::of(&host).run(&["doctor", "--state-root", host.state_folder().to_str().unwrap()]).await.expect(0);
    text.says(&["✓ folder", "0 failed"]);
}

#[tokio::test]
async fn an_open_folder_and_a_bad_key_are_found() {
    let mut host = Host::builder().start().await;
    host.terminate().await;
    let folder = host.state_folder();
    let cli = Cli::of(&host);
    mode(&folder, 0o755);
    let key = folder.join("master.key");
    fs::write(&key, "short").unwrap();
    mode(&key, 0o600);
    let found = doctor(&cli, &folder).await.expect(6).json();
    assert_eq!([check(&found, "folder").0, check(&found, "key").0], ["failed", "failed"]);
    assert_eq!(check(&found, "port").0, "warning");
    assert!(check(&found, "lock").1.contains("no daemon holds"));
    mode(&folder, 0o700);
    fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").unwrap();
    let found = doctor(&cli, &folder).await.expect(0).json();
    assert_eq!([check(&found, "folder").0, check(&found, "key").0], ["ok", "ok"]);
    mode(&key, 0o644);
    assert_eq!(check(&doctor(&cli, &folder).await.expect(6).json(), "key").0, "failed");
    // The file no longer counts; both variables are one too many. No key ever shows.
    let value = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
    let cli = cli.env("KHEISH_AUTH_STORE_MASTER_KEY", value);
    let ran = doctor(&cli, &folder).await.expect(0);
    assert_eq!(check(&ran.json(), "key").0, "ok");
    assert!(!ran.stdout.contains("CAgICAg") && !ran.stderr.contains("CAgICAg"));
    let cli = cli.env("KHEISH_AUTH_STORE_MASTER_KEY_FILE", "/nowhere");
    assert!(check(&doctor(&cli, &folder).await.expect(6).json(), "key").1.contains("both set"));
}

#[tokio::test]
async fn what_a_daemon_says_is_judged() {
    let (_daemon, cli) = scripted(|request| match request.path.as_str() {
        "/v1/status" => answer(200, &serde_json::json!({ "status": "ready", "ready": true, "version": "0.0.1",
            "snapshot_at_ms": 1_000_000, "runs": { "queued": 2 }, "deliveries": { "dead_lettered": 3 } })),
        "/v1/plugins" => answer(200, &serde_json::json!([{ "file": "bad.wasm", "state": "failed", "error": "no component" }])),
        "/v1/runtime/connectors" => answer(200, &serde_json::json!([
            { "kind": "http", "name": "a", "status": { "state": "running" } },
            { "kind": "http", "name": "b", "status": { "state": "outdated", "last_error": { "errors": [{ "detail": "bad field" }] } } }])),
        _ => answer(200, &serde_json::json!([{ "submitted_at_ms": 1_000_000 }])),
    })
    .await;
    let found = doctor(&cli, Path::new("nowhere")).await.expect(6).json();
    let verdicts =
        ["folder", "clock", "port", "daemon", "plugins", "connectors", "backlog"].map(|name| check(&found, name).0);
    assert_eq!(verdicts, ["warning", "failed", "ok", "warning", "failed", "warning", "warning"], "{found:#}");
    assert!(check(&found, "connectors").1.contains("http/b is outdated: bad field"));
    assert!(check(&found, "backlog").1.contains("3 deliveries are dead letters"));
}

const FAR: &str = "[queue]\nmax_attempts = 1\n[executors.near]\ntype = \"claim\"\n";

/// Says something in a session of this executor.
async fn say(host: &Host, session: &str, executor: &str) -> String {
    host.post("/v1/sessions", &json!({ "session_id": session, "executor": executor })).await.expect(201);
    host.submit(session, &json!({ "content": "x" })).await.expect(202).text("/run_id").to_owned()
}

#[tokio::test]
async fn executors_that_do_not_answer_or_are_gone_are_found() {
    let receiver = Receiver::scripted(|_| Reply::Status(503)).await;
    let url = receiver.url("/in");
    let push =
        format!("[executors.far]\ntype = \"push\"\nurl = \"{url}\"\nunsigned = true\nallow_private_network = true\n");
    let mut host = Host::builder().settings(&format!("{FAR}{push}")).start().await;
    let body = json!({ "allow_unauthenticated_ingress": true, "executor": "far" });
    host.put_http("orders", &body).await.expect(201);
    let cli = Cli::of(&host);
    let look = async |cli: &Cli, code: i32| doctor(cli, &host.state_folder()).await.expect(code).json();
    assert_eq!(check(&look(&cli, 0).await, "executors").0, "ok");
    let failed = say(&host, "room", "far").await;
    host.run_when(&failed, "failed").await;
    let found = look(&cli, 6).await;
    let (verdict, told) = check(&found, "executors");
    assert_eq!(verdict, "failed", "{found:#}");
    for part in ["far: no answer", "push_unavailable: the receiver answered 503", "its sessions come from http/orders"]
    {
        assert!(told.contains(part), "{told}");
    }
    cli.run(&["status"]).await.expect(0).says(&["far failed: push_unavailable"]);
    receiver.follow(|_| Reply::Body(200, "application/json", json!({ "outputs": [] }).to_string()));
    let well = host.submit("room", &json!({ "content": "x" })).await.expect(202);
    host.run_when(well.text("/run_id"), "completed").await;
    assert_eq!(check(&look(&cli, 0).await, "executors").0, "ok", "one answer ends the trouble");
    // Work that nobody asks for.
    say(&host, "hall", "near").await;
    let found = look(&cli, 0).await;
    let (verdict, told) = check(&found, "executors");
    assert!(verdict == "warning" && told.contains("near: 1 sessions wait, and no worker has asked"), "{told}");
    host.worker("w").ask(&json!({ "executor": "near", "max_runs": 1 })).await.expect(200);
    say(&host, "lobby", "near").await;
    assert_eq!(check(&look(&cli, 0).await, "executors").0, "ok", "a worker is there");
    // Their sections are taken away: one has work that waits, the other only a session, and a connector.
    std::fs::write(host.state_folder().with_file_name("settings.toml"), "").unwrap();
    host.kill();
    host.restart().await;
    let cli = Cli::of(&host);
    let found = doctor(&cli, &host.state_folder()).await.expect(6).json();
    let (verdict, told) = check(&found, "executors");
    assert_eq!(verdict, "failed");
    for part in [
        "near: it is not configured",
        "1 of them wait",
        "far: it is not configured",
        "0 of them wait; its sessions come from http/orders",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let (verdict, told) = check(&found, "connectors");
    assert!(verdict == "failed" && told.contains("http/orders is failed: there is no executor `far`"), "{told}");
    cli.run(&["status"]).await.expect(0).says(&["near failed, and sessions name it"]);
}

#[tokio::test]
async fn the_folder_of_a_daemon_elsewhere_is_not_looked_for_here() {
    let (proxy, _cli) = scripted(|_| problem(401, "missing_token", "a token is missing", &[])).await;
    let cli = Cli::at("http://kheishd.invalid:4000").env("http_proxy", &proxy.url(""));
    let found = cli.run(&["doctor", "--output", "json"]).await.expect(6).json();
    assert!(check(&found, "port").1.contains("not to this token"), "{found:#}");
    let names: Vec<&str> = found.as_array().into_iter().flatten().filter_map(|check| check["check"].as_str()).collect();
    assert_eq!(names, ["clock", "port"]);
}

#[tokio::test]
async fn a_wrong_settings_file_is_told_with_its_line() {
    let cli = Cli::at("http://127.0.0.1:1");
    let file = cli.file("settings.toml", "state_root = \"x\"\nlisten = 5\n");
    let ran = cli.run(&["doctor", "--config", file.to_str().unwrap()]).await.expect(6);
    ran.says(&["settings.toml:2", "✗ settings"]);
}
