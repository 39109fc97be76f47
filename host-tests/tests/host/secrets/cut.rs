//! A secret that lies across the end of what is kept is masked as a whole.

use kheish_host_tests::{
    connectors::{outbox, outbox_target},
    host::{Host, OUTBOX},
};
use serde_json::json;

const TOKEN: &str = "zebra-token-of-the-administrators";

#[tokio::test]
async fn why_a_delivery_or_a_run_failed_is_masked_before_it_is_cut() {
    let host = Host::builder().plugins(&[OUTBOX]).connectors(outbox("box", "")).token(TOKEN).start().await;
    host.make_session("room").await;
    let route = json!({ "answer": "terminal", "reason": format!("{}{TOKEN}", "x".repeat(490)) });
    let body = json!({ "content": "hello", "reply_targets": [outbox_target("box", &route)] });
    let run = host.submit("room", &body).await.expect(202).text("/run_id").to_owned();
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &["done"]).await.expect(200);
    let dead = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0).to_string();
    assert!(dead.contains("x[masked]") && !dead.contains("zebra"), "{dead}");
    let run = host.submit("room", &json!({ "content": "hello" })).await.expect(202).text("/run_id").to_owned();
    let epoch = worker.take().await.epoch;
    let failure = json!({ "epoch": epoch, "code": "broken", "reason": format!("{}{TOKEN}", "x".repeat(1_990)) });
    host.post(&format!("/v1/runs/{run}/fail"), &failure).await.expect(200);
    let failed = host.run_when(&run, "failed").await["error"].to_string();
    assert!(failed.contains("x[masked]") && !failed.contains("zebra"), "{failed}");
}
