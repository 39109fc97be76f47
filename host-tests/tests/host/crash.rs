//! `kill -9` between any two of the four transactions, and the orderly ends.

mod barrage;
mod between;
mod delivery;
mod downloads;
mod end;
mod moments;
mod storm;

use kheish_host_tests::host::{Host, HostBuilder};
use serde_json::{Value, json};

/// Ended leases and due deliveries are found at once.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 100\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 100\n";

fn builder() -> HostBuilder {
    Host::builder().plugins(&[]).settings(QUICK)
}

/// A queued run in a session that exists from now on. Returns its id.
async fn submit(host: &Host, session: &str, targets: &[Value]) -> String {
    host.make_session(session).await;
    let body = json!({ "content": session, "reply_targets": targets });
    host.submit(session, &body).await.expect(202).text("/run_id").to_owned()
}
