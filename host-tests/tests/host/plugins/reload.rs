//! New files and new versions while the daemon runs.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::{join, join_all};
use kheish_host_tests::{
    host::{HTTP, Host, MISBEHAVING},
    plugins,
    wait::eventually,
};

use super::{builder, is_broken, sender, serves};

#[tokio::test]
async fn a_plugin_that_appears_becomes_a_kind() {
    let host = builder().start().await;
    assert_eq!(host.get("/v1/plugins").await.expect(200).items().len(), 1);
    let bytes = plugins::bytes(MISBEHAVING);
    plugins::install(&bytes, &host.plugin_path("late.wasm"));
    let report = host.plugin_when("late.wasm", "serves", serves(&bytes)).await;
    assert_eq!((&report["kind"], report.get("error")), (&"misbehaving".into(), None));
    assert!(report["loaded_at_ms"].as_i64().is_some() && report["version"].is_string(), "{report}");
    assert_eq!(host.get("/v1/plugins").await.items().len(), 2);
}

#[tokio::test]
async fn a_plugin_that_nobody_uses_may_go_away() {
    let host = builder().plugins(&[HTTP, MISBEHAVING]).start().await;
    fs::remove_file(host.plugin_path("misbehaving.wasm")).unwrap();
    host.plugin_when("misbehaving.wasm", "is forgotten", serde_json::Value::is_null).await;
    // One that connectors use goes on serving without its file.
    fs::remove_file(host.plugin_path("http.wasm")).unwrap();
    let report = host.plugin_when("http.wasm", "is missed", is_broken).await;
    assert_eq!(report["state"], "serving");
    sender(&host).say("k1", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn a_file_that_is_gone_can_be_succeeded_by_one_of_another_name() {
    let host = builder().start().await;
    fs::remove_file(host.plugin_path("http.wasm")).unwrap();
    host.plugin_when("http.wasm", "is missed", is_broken).await;
    let bytes = plugins::version(HTTP, 1);
    plugins::install(&bytes, &host.plugin_path("http-2.wasm"));
    host.plugin_when("http-2.wasm", "serves", serves(&bytes)).await;
    host.plugin_when("http.wasm", "is forgotten", serde_json::Value::is_null).await;
    sender(&host).say("k1", "room", "hello").await.expect(200);
}

/// Sends events at full pace until told to stop; every one of them must be taken. Returns how many there were.
async fn pour(host: &Host, name: usize, stop: &AtomicBool) -> usize {
    let sender = sender(host);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        sender.say(&format!("k{name}-{count}"), &format!("room {name}"), "hello").await.expect(200);
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_under_load_without_a_failed_event() {
    let host = builder().start().await;
    let stop = AtomicBool::new(false);
    let replacing = async {
        for number in 1..=4 {
            let bytes = plugins::version(HTTP, number);
            plugins::install(&bytes, &host.plugin_path("http.wasm"));
            host.plugin_when("http.wasm", "serves its new version", serves(&bytes)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (counts, ()) = join(join_all((0..4).map(|name| pour(&host, name, &stop))), replacing).await;
    let total: usize = counts.iter().sum();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(host.ledger().await["runs"]["queued"], total);
    let status = host.get("/v1/status").await.expect(200).json;
    assert_eq!(status["connectors"][0]["plugin_digest"], host.plugin("http.wasm").await["digest"]);
}

#[tokio::test]
async fn a_broken_version_keeps_the_old_one_serving_until_a_good_one_comes() {
    let host = builder().start().await;
    let good = plugins::bytes(HTTP);
    let half = &good[..good.len() / 2];
    plugins::install(half, &host.plugin_path("http.wasm"));
    let report = host.plugin_when("http.wasm", "is reported as broken", is_broken).await;
    assert!(serves(&good)(&report), "{report}");
    sender(&host).say("k1", "room", "hello").await.expect(200);
    let better = plugins::version(HTTP, 1);
    plugins::install(&better, &host.plugin_path("http.wasm"));
    let report = host.plugin_when("http.wasm", "serves its good version", serves(&better)).await;
    assert!(!is_broken(&report), "{report}");
    sender(&host).say("k2", "room", "hello").await.expect(200);
}

#[tokio::test]
async fn putting_the_old_version_back_mends_the_report() {
    let host = builder().start().await;
    let good = plugins::bytes(HTTP);
    plugins::install(b"broken", &host.plugin_path("http.wasm"));
    host.plugin_when("http.wasm", "is reported as broken", is_broken).await;
    plugins::install(&good, &host.plugin_path("http.wasm"));
    let report = host.plugin_when("http.wasm", "is well again", |report| !is_broken(report)).await;
    assert!(serves(&good)(&report), "{report}");
}

#[tokio::test]
async fn a_file_that_changes_its_kind_leaves_connectors_of_the_old_kind_alone() {
    let host = builder().start().await;
    let good = plugins::bytes(HTTP);
    plugins::install(&plugins::bytes(MISBEHAVING), &host.plugin_path("http.wasm"));
    eventually("the file was looked at again", async || {
        let report = host.plugin("http.wasm").await;
        (is_broken(&report) || report["kind"] == "misbehaving").then_some(())
    })
    .await;
    sender(&host).say("k1", "room", "hello").await.expect(200);
    let status = host.get("/v1/status").await.expect(200).json;
    assert_eq!(status["connectors"][0]["plugin_digest"], kheish_host_tests::sign::sha256_hex(&good));
}
