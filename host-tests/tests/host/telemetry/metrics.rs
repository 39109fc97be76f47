//! `/metrics`: its form, its names, who may read it, and what it costs.

use kheish_host_tests::{
    client::Client,
    host::Host,
    places,
    receiver::{Receiver, Reply},
    scrape::Scrape,
    wait::eventually,
};
use serde_json::json;

use super::{builder, sender};

/// What is promised to be there, with its type.
const FAMILIES: [(&str, &str); 33] = [
    ("kheish_build_info", "gauge"),
    ("kheish_connectors", "gauge"),
    ("kheish_db_bytes", "gauge"),
    ("kheish_dead_letters", "gauge"),
    ("kheish_deliveries", "gauge"),
    ("kheish_delivery_attempts_total", "counter"),
    ("kheish_delivery_oldest_age_seconds", "gauge"),
    ("kheish_delivery_unknown_total", "counter"),
    ("kheish_disk_free_bytes", "gauge"),
    ("kheish_downloads_total", "counter"),
    ("kheish_event_streams", "gauge"),
    ("kheish_fenced_writes_total", "counter"),
    ("kheish_guest_call_seconds", "histogram"),
    ("kheish_guest_requests_total", "counter"),
    ("kheish_ingress_ack_seconds", "histogram"),
    ("kheish_ingress_requests_total", "counter"),
    ("kheish_lease_lost_total", "counter"),
    ("kheish_prune_seconds", "histogram"),
    ("kheish_pruned_total", "counter"),
    ("kheish_rate_limited_seconds_total", "counter"),
    ("kheish_run_queue_oldest_age_seconds", "gauge"),
    ("kheish_run_start_latency_seconds", "histogram"),
    ("kheish_runs_total", "counter"),
    ("kheish_sessions", "gauge"),
    ("kheish_wal_bytes", "gauge"),
    ("kheish_writer_batch_rows", "histogram"),
    ("kheish_writer_commit_seconds", "histogram"),
    ("kheish_writer_queue_depth", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    // Shown once there is something to count.
    ("kheish_auth_failures_total", "counter"),
    ("kheish_connectors_paused", "gauge"),
    ("kheish_paced_seconds_total", "counter"),
];

/// How many of them are not shown before there is something to count.
const LATER: usize = 3;

#[tokio::test]
async fn every_line_is_as_it_should_be_and_every_name_is_there() {
    let receiver = Receiver::scripted(|request| match request.index {
        0 => Reply::With(429, "retry-after", "0".to_owned()),
        _ => Reply::Status(200),
    })
    .await;
    let host = builder(&receiver).executor("echo").start().await;
    let answer = sender(&host).say("k1", "a room with a long name 0123456789abcdef", "hello").await.expect(200);
    host.deliveries_when(answer.text("/run_id"), 1, "delivered").await;
    let scrape = Scrape::of(&host).await;
    for (name, kind) in &FAMILIES[..FAMILIES.len() - LATER] {
        assert_eq!(scrape.types.get(*name).map(String::as_str), Some(*kind), "{name}");
    }
    for name in scrape.types.keys() {
        assert!(FAMILIES.iter().any(|(listed, _)| listed == name), "{name} is not listed");
    }
    for gauge in ["process_resident_memory_bytes", "kheish_db_bytes", "kheish_disk_free_bytes"] {
        assert!(scrape.samples[gauge] >= 4096.0, "{gauge}");
    }
    assert_eq!(scrape.value("connectors{state=\"running\"}"), 1.0);
}

#[test]
fn the_readme_says_what_each_is() {
    let readme = std::fs::read_to_string(places::repository().join("README.md")).unwrap();
    for (name, kind) in FAMILIES {
        let name = name.trim_start_matches("kheish_");
        let names = [format!("`{name}`"), format!("`{name}{{")];
        let is_row = |line: &str| {
            line.starts_with("| `")
                && names.iter().any(|part| line.contains(part))
                && line.contains(&format!("| {kind} |"))
        };
        assert!(readme.lines().any(is_row), "{name} {kind}");
    }
}

#[tokio::test]
async fn whoever_may_not_use_the_control_plane_may_not_read_them() {
    let host = Host::builder().plugins(&[]).token("admin-token").start().await;
    let stranger = Client::new(host.client().base());
    stranger.get("/metrics").await.problem(401, "auth", "missing_token");
    Scrape::of(&host).await;
}

#[tokio::test]
async fn ages_grow_until_the_work_is_done() {
    let host = Host::builder().plugins(&[]).start().await;
    host.make_session("s").await;
    let idle = Scrape::of(&host).await;
    assert_eq!((idle.value("sessions{state=\"ready\"}"), idle.value("run_queue_oldest_age_seconds")), (0.0, 0.0));
    host.submit("s", &json!({ "content": "work" })).await.expect(202);
    let age = async || Scrape::of(&host).await.value("run_queue_oldest_age_seconds");
    let first = eventually("a run has waited", async || Some(age().await).filter(|age| *age > 0.05)).await;
    eventually("it waits on", async || (age().await > first + 0.05).then_some(())).await;
    let claimed = host.worker("w").take().await;
    let busy = Scrape::of(&host).await;
    assert_eq!((busy.value("sessions{state=\"ready\"}"), busy.value("sessions{state=\"busy\"}")), (0.0, 1.0));
    assert_eq!((busy.value("run_queue_oldest_age_seconds"), busy.value("run_start_latency_seconds_count")), (0.0, 1.0));
    assert!(busy.value("run_start_latency_seconds_sum") > first);
    host.worker("w").finish(&claimed, &[]).await.expect(200);
    assert_eq!(Scrape::of(&host).await.value("sessions{state=\"busy\"}"), 0.0);
}
