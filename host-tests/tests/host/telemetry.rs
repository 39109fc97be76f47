//! What the daemon says about itself: metrics, lines of the log, traces.

mod counters;
mod lines;
mod metrics;
mod traces;

use kheish_host_tests::{
    connectors::Http,
    host::{Host, HostBuilder},
    receiver::Receiver,
    sender::Sender,
};

const TOKEN: &str = "token-that-nobody-may-see";

/// Waits are short, and three attempts are enough.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\nmax_attempts = 3\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 2\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 2\n[telemetry]\nexport_interval_ms = 20\n";

/// The connector `orders`, whose answers go to `receiver`.
fn builder(receiver: &Receiver) -> HostBuilder {
    let connector = Http::named("orders").bearer(TOKEN).fast().reply_to(&[receiver.target("/in")]);
    Host::builder().connectors(connector).settings(QUICK)
}

fn sender(host: &Host) -> Sender {
    host.sender("orders").bearer(TOKEN)
}
