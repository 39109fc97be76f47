//! What has ended and is old makes room, and what is needed stays.

mod age;
mod goes;
mod stays;

use kheish_host_tests::{connectors::Http, host::Host, receiver::Receiver, scrape::Scrape, sender::Sender};
use serde_json::{Value, json};

const TOKEN: &str = "token-of-a-talkative-platform";

/// A daemon without pauses in its rounds, with the connector `orders`, whose runs answer to `receiver`.
async fn host(receiver: &Receiver, more: &str) -> (Host, Sender) {
    let settings = format!(
        "[retention]\npause_ms = 0\ninterval_ms = 50\n{more}\n[delivery]\npoll_interval_ms = 20\n\
         [delivery.http]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 1\n"
    );
    let connectors = Http::named("orders").bearer(TOKEN).fast().reply_to(&[receiver.target("/in")]);
    let host = Host::builder().connectors(connectors).settings(&settings).start().await;
    let sender = sender(&host);
    (host, sender)
}

fn sender(host: &Host) -> Sender {
    host.sender("orders").bearer(TOKEN)
}

/// An event that became a run, which said something; returns the run once its delivery has this status.
async fn answered(host: &Host, sender: &Sender, key: &str, status: &str) -> String {
    let run = sender.say(key, "room", "what is new").await.expect(200).text("/run_id").to_owned();
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["not much"]).await.expect(200);
    host.deliveries_when(&run, 1, status).await;
    run
}

/// Starts the daemon again on rows that are so many days older.
async fn later(host: &mut Host, days: i64) {
    host.terminate().await;
    age::by(host, days).await;
    host.restart().await;
}

/// Waits until so many rows of a table are gone.
async fn gone(host: &Host, table: &str, rows: u32) {
    Scrape::when(host, &format!("pruned_total{{table=\"{table}\"}}"), f64::from(rows)).await;
}

/// Whether a run has kept what it was made from.
fn is_whole(run: &Value) -> bool {
    run.get("body_pruned").is_none() && run["input"] != json!([])
}
