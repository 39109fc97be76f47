//! Event streams: what is told, to whom, and that nothing is lost on the way.

mod limits;
mod path;
mod resume;
mod verdicts;

use kheish_host_tests::{
    host::{Host, HostBuilder},
    sse::{Frame, Stream},
};
use serde_json::json;

const ALL: &str = "/v1/events/stream";

/// Ended leases and due deliveries are found at once.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n\
                     [delivery.http]\ninitial_ms = 20\nmax_ms = 60\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\n";

fn builder() -> HostBuilder {
    Host::builder().plugins(&[]).settings(QUICK)
}

async fn stream(host: &Host, path: &str) -> Stream {
    Stream::open(host.client(), path).await
}

/// Makes a run through the API and says which one it is.
async fn submit(host: &Host, session: &str) -> String {
    host.make_session(session).await;
    host.submit(session, &json!({ "content": "a" })).await.expect(202).text("/run_id").to_owned()
}

/// Performs a run that says so much: an event for each output, and three more for the run.
async fn say_much(host: &Host, session: &str, outputs: usize) {
    submit(host, session).await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &vec!["said"; outputs]).await.expect(200);
}

/// Name and what tells it from others of that name.
fn short(frame: &Frame) -> String {
    let what = ["change", "verdict", "status"].into_iter().map(|field| frame.text(field)).find(|what| !what.is_empty());
    format!("{} {}", frame.name, what.unwrap_or_default()).trim_end().to_owned()
}

fn shorts(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(short).collect()
}

fn ids(frames: &[Frame]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame.id).collect()
}
