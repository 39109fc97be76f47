//! What a sidecar says that it is, slowly, at length, or otherwise than before: files go out by it.

use kheish_host_tests::{
    receiver::{Gate, Reply},
    sidecar::{Sidecar, health_when, manifest, metric},
    wait::eventually,
};
use serde_json::json;

use super::{QUICK, builder, files::answer_with_file};

#[tokio::test]
async fn a_sidecar_is_asked_again_before_a_file_is_given_up() {
    let sidecar = Sidecar::start().await;
    sidecar.is(manifest(&json!({ "attachments_out": false })));
    let host = builder(&sidecar, "").executor("claim").start().await;
    health_when(&host, "bridge", "ready").await;
    // It was upgraded, and goes by its former name.
    sidecar.is(manifest(&json!({ "attachments_out": true })));
    let run = answer_with_file(&host, "bridge").await.0;
    let delivered = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!((&delivered["attempts"], sidecar.asked("/manifest")), (&json!(1), 2), "{delivered}");
}

#[tokio::test]
async fn a_manifest_that_does_not_come_or_is_too_long_keeps_files_waiting() {
    let long = json!({ "protocol_version": 1, "instance_id": "i-1", "padding": "x".repeat(65 * 1024) }).to_string();
    for (reply, reason, code) in [
        (Reply::Hold(Gate::default()), "sidecars.probe_timeout_ms", "manifest_unreached"),
        (Reply::Body(200, "application/json", long), "too long", "manifest_unreadable"),
    ] {
        let sidecar = Sidecar::start().await;
        sidecar.is(reply);
        let settings = QUICK.replace("max_attempts = 4", "max_attempts = 1000");
        let host = builder(&sidecar, "").executor("claim").settings(&settings).start().await;
        let degraded = health_when(&host, "bridge", "degraded").await;
        assert!(degraded["reason"].as_str().is_some_and(|said| said.contains(reason)), "{degraded}");
        assert!(metric(&host, "manifest_fetch_failures_total{connector=\"bridge\"}").await >= 1.0);
        let run = answer_with_file(&host, "bridge").await.0;
        eventually(&format!("the file waits: {code}"), async || {
            let delivery = host.run(&run).await["deliveries"][0].clone();
            let path = format!("/v1/deliveries/{}", delivery["delivery_id"].as_str()?);
            (host.get(&path).await.expect(200).text("/last_error/code") == code).then_some(())
        })
        .await;
        assert!(sidecar.deliveries().is_empty(), "{reason}");
        sidecar.is(manifest(&json!({ "attachments_out": true })));
        host.deliveries_when(&run, 1, "delivered").await;
        assert_eq!(sidecar.deliveries().len(), 1, "{reason}");
    }
}
