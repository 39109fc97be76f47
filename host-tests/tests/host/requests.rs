//! Requests that guests make: where they go, what they carry, what comes back, and what follows when nothing does.

mod ends;
mod files;
mod places;

use kheish_host_tests::{
    courier::courier,
    host::{COURIER, Host, HostBuilder},
    receiver::Receiver,
};
use serde_json::Value;

/// Short waits, and two attempts.
const QUICK: &str =
    "[delivery]\npoll_interval_ms = 20\n[delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 2\n";

fn builder() -> HostBuilder {
    Host::builder().plugins(&[COURIER]).settings(QUICK)
}

/// A daemon with `courier/main`, whose API is this.
async fn with_api(api: &Receiver) -> Host {
    builder().connectors(courier(&api.url(""), "")).start().await
}

/// The one delivery to this target, once it has this status.
async fn deliver(host: &Host, target: Value, status: &str) -> Value {
    host.make_session("s").await;
    let answer =
        host.submit("s", &serde_json::json!({ "content": "work", "reply_targets": [target] })).await.expect(202);
    let run = answer.text("/run_id").to_owned();
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["hello"]).await.expect(200);
    host.deliveries_when(&run, 1, status).await.remove(0)
}
