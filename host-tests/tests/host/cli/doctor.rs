//! `doctor`: what it finds on this machine and at a daemon.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use kheish_host_tests::{
    cli::{Cli, Ran},
    host::Host,
};
use serde_json::Value;

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
    for name in ["folder", "lock", "port", "daemon", "clock", "plugins", "backlog"] {
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
