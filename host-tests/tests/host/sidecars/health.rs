//! How sidecars fare: seen at the front door, and by deliveries that wait.

use std::net::TcpListener;

use kheish_host_tests::{
    cli::Cli,
    receiver::Reply,
    sidecar::{self, Sidecar, TOKEN, event, health, health_when, manifest, metric, send, verdict},
    sse::Stream,
    wait::eventually,
};
use serde_json::{Value, json};

use super::{QUICK, builder, start};

#[tokio::test]
async fn a_sidecar_is_ready_degraded_or_deaf() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let ready = health_when(&host, "bridge", "ready").await;
    assert_eq!((&ready["instance_id"], &ready["failures"]), (&json!("i-1"), &json!(0)));
    for call in ["/manifest", "/health"] {
        let shown = sidecar.requests(call).remove(0).headers["authorization"].clone();
        assert_eq!(shown, format!("Bearer {TOKEN}"), "Kheish's sidecars say nothing without it");
    }
    assert!(ready["answered_at_ms"].as_i64().is_some_and(|at| at > 0) && ready.get("reason").is_none(), "{ready}");
    for (reply, reason) in [
        (health("degraded", Some("no gateway")), "no gateway"),
        (health("draining", None), "draining"),
        (Reply::Status(404), "404"),
        (Reply::Body(200, "text/plain", "well".to_owned()), "not the protocol's"),
        (Reply::Body(200, "text/plain", "x".repeat(65 * 1024)), "too long"),
    ] {
        sidecar.fares(reply);
        let degraded = eventually(&format!("it is degraded: {reason}"), async || {
            let seen = health_when(&host, "bridge", "degraded").await;
            seen["reason"].as_str().unwrap_or_default().contains(reason).then_some(seen)
        })
        .await;
        assert!(degraded["answered_at_ms"].is_i64(), "{degraded}");
    }
    assert_eq!(metric(&host, "state{connector=\"bridge\",state=\"degraded\"}").await, 1.0);
    sidecar.fares(Reply::HangUp);
    let deaf = health_when(&host, "bridge", "deaf").await;
    assert!(deaf["failures"].as_u64().is_some_and(|count| count > 0) && deaf["reason"].is_string(), "{deaf}");
    let status = host.get("/v1/status").await.expect(200).json;
    assert_eq!(status["connectors"][0]["health"]["state"], "deaf", "{status}");
    let doctor = Cli::of(&host).run(&["doctor"]).await;
    doctor.says(&["external/bridge is deaf"]);
    sidecar.fares(health("ready", None));
    health_when(&host, "bridge", "ready").await;
    host.logs("the sidecar of external/bridge is deaf").await;
    host.logs("the sidecar of external/bridge is ready").await;
}

#[tokio::test]
async fn streams_tell_of_each_turn_once_and_without_secrets() {
    let sidecar = Sidecar::start().await;
    // No look is given up because the machine is busy.
    let settings = QUICK.replace("probe_timeout_ms = 500", "probe_timeout_ms = 20000");
    let host = builder(&sidecar, "").settings(&settings).start().await;
    let mut events = Stream::open(host.client(), "/v1/events/stream?cursor=0").await;
    let secret = format!("no gateway takes {TOKEN}");
    for (reply, state) in [
        (health("ready", None), "ready"),
        (health("degraded", Some(&secret)), "degraded"),
        (health("degraded", Some("another reason")), "degraded"),
        (Reply::HangUp, "deaf"),
        (health("starting", None), "starting"),
        (health("ready", None), "ready"),
    ] {
        sidecar.fares(reply);
        let seen = health_when(&host, "bridge", state).await;
        assert!(!seen.to_string().contains(TOKEN), "{seen}");
        let looks = sidecar.asked("/health");
        eventually("some looks later", async || (sidecar.asked("/health") > looks + 3).then_some(())).await;
    }
    host.put("/v1/runtime/connectors/external/last", &sidecar_elsewhere()).await.expect(201);
    let seen = events.until(|frame| frame.text("connector") == "external/last").await;
    let told: Vec<_> = seen.iter().filter(|frame| frame.text("change") == "health").collect();
    let short: Vec<_> = told.iter().map(|frame| (frame.text("state"), frame.text("reason"))).collect();
    let deaf = told.get(2).map(|frame| frame.text("reason")).unwrap_or_default();
    assert!(deaf.contains("/health"), "{deaf}");
    assert_eq!(
        short,
        [("ready", ""), ("degraded", "no gateway takes [masked]"), ("deaf", deaf), ("starting", ""), ("ready", "")]
    );
    assert!(told.iter().all(|frame| frame.text("connector") == "external/bridge"));
}

#[tokio::test]
async fn a_list_of_connectors_shows_how_sidecars_fare_and_asks_nobody() {
    let sidecar = Sidecar::start().await;
    let long = format!("no gateway {}the end", "and no other ".repeat(20));
    sidecar.fares(health("degraded", Some(&long)));
    let host = builder(&sidecar, "").settings("[sidecars]\nhealth_interval_ms = 3600000\n").start().await;
    health_when(&host, "bridge", "degraded").await;
    let asked = || (sidecar.asked("/health"), sidecar.asked("/manifest"));
    let before = asked();
    let ran = Cli::of(&host).run(&["connectors", "list"]).await.expect(0);
    ran.says(&["HEALTH", "external/bridge", "running", "degraded", "no gateway and no other", "…"]);
    assert!(!ran.stdout.contains("the end"), "{}", ran.stdout);
    let list = host.get("/v1/runtime/connectors").await.expect(200).json;
    assert_eq!(list[0]["status"]["health"]["state"], "degraded");
    assert_eq!(list[0]["status"]["health"]["reason"], json!(long));
    assert_eq!(asked(), before);
}

/// A connector that nobody speaks to.
fn sidecar_elsewhere() -> Value {
    json!({ "platform": "forge", "base_url": "https://bridge.example", "allow_unauthenticated_ingress": true })
}

#[tokio::test]
async fn deliveries_wait_for_a_sidecar_and_spend_nothing() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    for (reply, state) in
        [(Reply::HangUp, "deaf"), (health("starting", None), "starting"), (health("draining", None), "degraded")]
    {
        sidecar.fares(reply);
        health_when(&host, "bridge", state).await;
        let before = sidecar.deliveries().len();
        let run = send(&host, "bridge", &event(state, "hello")).await.expect(200).text("/run_id").to_owned();
        // It is put off again and again, far more often than there are attempts.
        let looks = sidecar.asked("/health");
        eventually("many looks later", async || (sidecar.asked("/health") > looks + 10).then_some(())).await;
        assert_eq!(sidecar.deliveries().len(), before, "{state}");
        sidecar.fares(health("ready", None));
        let delivered = host.deliveries_when(&run, 1, "delivered").await.remove(0);
        assert_eq!(delivered["attempts"], 1, "{state}: {delivered}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_costs_no_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sidecar = Sidecar::start().await;
    let gone = sidecar::connector("bridge", &format!("http://{address}"), "");
    let host = builder(&sidecar, "").connectors(gone).start().await;
    let deaf = health_when(&host, "bridge", "deaf").await;
    assert!(deaf.get("answered_at_ms").is_none(), "{deaf}");
    let run = send(&host, "bridge", &event("e", "hello")).await.expect(200).text("/run_id").to_owned();
    let waits = host.deliveries_when(&run, 1, "retrying").await;
    assert_eq!(waits.len(), 1);
}

#[tokio::test]
async fn a_manifest_is_asked_for_when_it_is_old_and_when_a_life_begins() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    health_when(&host, "bridge", "ready").await;
    let looks = sidecar.asked("/health");
    eventually("some looks later", async || (sidecar.asked("/health") > looks + 3).then_some(())).await;
    assert_eq!(sidecar.asked("/manifest"), 1, "it is believed");
    let anew = json!({ "protocol_version": 1, "instance_id": "i-2", "status": "ready" });
    sidecar.fares(Reply::Body(200, "application/json", anew.to_string()));
    eventually("it is asked again", async || (sidecar.asked("/manifest") > 1).then_some(())).await;
    sidecar.is(Reply::Status(500));
    let degraded = health_when(&host, "bridge", "degraded").await;
    assert!(degraded["reason"].as_str().unwrap().contains("/manifest"), "{degraded}");
    assert!(metric(&host, "manifest_fetch_failures_total{connector=\"bridge\"}").await >= 1.0);
    sidecar.is(manifest(&json!({})));
    let newer = json!({ "protocol_version": 2, "instance_id": "i-2" });
    sidecar.is(Reply::Body(200, "application/json", newer.to_string()));
    eventually("the version is told", async || {
        let seen = health_when(&host, "bridge", "degraded").await;
        seen["reason"].as_str().unwrap_or_default().contains("runtime protocol 2").then_some(())
    })
    .await;
    sidecar.delivers(|_| verdict(200, "committed"));
}
