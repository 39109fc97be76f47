//! Runs: their order, their leases, and the ways in and out of the queue.

mod cancel;
mod claim;
mod echo;
mod lease;
mod lists;
mod order;
mod submit;

use kheish_host_tests::host::Host;
use serde_json::json;

/// Ended leases are found at once, and a run may be claimed three times.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\nmax_attempts = 3\n";

/// A daemon without connectors, with these sessions.
async fn host(sessions: &[&str]) -> Host {
    let host = Host::builder().plugins(&[]).settings(QUICK).start().await;
    for session in sessions {
        host.make_session(session).await;
    }
    host
}

/// Submits a text and returns its run.
async fn say(host: &Host, session: &str, text: &str) -> String {
    let answer = host.submit(session, &json!({ "content": text })).await.expect(202);
    answer.text("/run_id").to_owned()
}
