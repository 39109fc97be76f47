//! Deliveries: what arrives, in which order, how often, and where nothing is sent at all.

mod breaker;
mod broken;
mod connector;
mod defaults;
mod files;
mod guard;
mod look_up;
mod operate;
mod order;
mod parts;
mod pause;
mod retry;
mod route;
mod send;
mod share;
mod signed;
mod targets;
mod unknown;

use kheish_host_tests::{
    connectors::outbox,
    host::{Host, HostBuilder, OUTBOX},
};
use serde_json::{Value, json};

/// Short waits, and three attempts.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\nlook_up_after_ms = 20\n\
                     [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 3\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 3\n";

fn builder() -> HostBuilder {
    Host::builder().plugins(&[]).settings(QUICK)
}

/// The same with a connector `outbox/main`.
fn with_outbox() -> HostBuilder {
    builder().plugins(&[OUTBOX]).connectors(outbox("main", ""))
}

/// A run in a session of its own, with these targets, ended with these outputs. Returns its id.
async fn say(host: &Host, session: &str, targets: &[Value], outputs: &[&str]) -> String {
    host.make_session(session).await;
    let run = submit(host, session, targets).await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.run, run);
    worker.finish(&claimed, outputs).await.expect(200);
    run
}

/// A queued run with these targets. Returns its id.
async fn submit(host: &Host, session: &str, targets: &[Value]) -> String {
    let answer = host.submit(session, &json!({ "content": "work", "reply_targets": targets })).await.expect(202);
    answer.text("/run_id").to_owned()
}
