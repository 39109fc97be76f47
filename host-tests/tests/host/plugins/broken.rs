//! Files that are no plugin: reported, and nothing else.

use std::fs;

use kheish_host_tests::{
    host::{HTTP, Host, MISBEHAVING},
    plugins::{self, CORE_MODULE},
};

use super::{builder, is_broken, sender, serves};

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let whole = plugins::bytes(MISBEHAVING);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    vec![
        ("empty.wasm", Vec::new()),
        ("garbage.wasm", b"this is no WebAssembly at all".to_vec()),
        ("magic.wasm", b"\0asm".to_vec()),
        ("core.wasm", CORE_MODULE.to_vec()),
        ("half.wasm", whole[..whole.len() / 2].to_vec()),
        ("flipped.wasm", flipped),
        // A component with nothing in it.
        ("hollow.wasm", b"\0asm\x0d\0\x01\0".to_vec()),
    ]
}

async fn assert_reported(host: &Host) {
    for (name, _) in files() {
        let report = host.plugin_when(name, "is reported as broken", is_broken).await;
        assert_eq!((&report["state"], report.get("kind")), (&"failed".into(), None), "{report}");
    }
    assert_eq!(host.plugin("http.wasm").await["state"], "serving");
    sender(host).say("k1", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn they_are_reported_when_they_appear() {
    let host = builder().start().await;
    for (name, bytes) in files() {
        plugins::install(&bytes, &host.plugin_path(name));
    }
    assert_reported(&host).await;
    // What is mended serves.
    let bytes = plugins::bytes(MISBEHAVING);
    plugins::install(&bytes, &host.plugin_path("half.wasm"));
    let report = host.plugin_when("half.wasm", "serves", serves(&bytes)).await;
    assert!(!is_broken(&report), "{report}");
    // What is gone is forgotten.
    fs::remove_file(host.plugin_path("garbage.wasm")).unwrap();
    host.plugin_when("garbage.wasm", "is forgotten", serde_json::Value::is_null).await;
}

#[tokio::test]
async fn they_do_not_keep_the_daemon_from_starting() {
    let mut host = builder().start().await;
    host.kill();
    for (name, bytes) in files() {
        plugins::install(&bytes, &host.plugin_path(name));
    }
    host.restart().await;
    assert_reported(&host).await;
}

#[tokio::test]
async fn a_second_file_of_a_kind_is_refused() {
    let host = builder().start().await;
    plugins::install(&plugins::version(HTTP, 1), &host.plugin_path("other.wasm"));
    let report = host.plugin_when("other.wasm", "is refused", is_broken).await;
    let error = report["error"].as_str().unwrap_or_default();
    assert!(error.contains("`http`") && error.contains("http.wasm"), "{error}");
    assert_eq!(report["state"], "failed");
    sender(&host).say("k1", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn of_two_files_of_a_kind_at_the_start_one_serves() {
    let host = builder().plugin_as(HTTP, "twin.wasm").start().await;
    let reports = host.get("/v1/plugins").await.expect(200);
    let serving = reports.items().iter().filter(|report| report["state"] == "serving").count();
    assert_eq!((reports.items().len(), serving), (2, 1), "{}", reports.json);
    sender(&host).say("k1", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn machine_code_is_never_taken_for_a_plugin() {
    let host = builder().start().await;
    let compiled = fs::read_dir(host.state_folder().join("compiled")).unwrap();
    let code =
        compiled.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|kind| kind == "cwasm"));
    let code = fs::read(code.expect("compiled code is kept")).unwrap();
    plugins::install(&code, &host.plugin_path("native.wasm"));
    let report = host.plugin_when("native.wasm", "is refused", is_broken).await;
    assert!(report["error"].as_str().is_some_and(|error| error.contains("compiled code")), "{report}");
}

#[tokio::test]
async fn other_files_are_nobodys_business() {
    let mut host = builder().start().await;
    host.kill();
    for name in ["README.md", ".hidden.wasm", "http.wasm.part", "http.WASM.bak"] {
        fs::write(host.plugin_path(name), b"not a plugin").unwrap();
    }
    fs::create_dir(host.plugin_path("folder.wasm")).unwrap();
    host.restart().await;
    let reports = host.get("/v1/plugins").await.expect(200);
    assert_eq!(reports.items().len(), 1, "{}", reports.json);
}
