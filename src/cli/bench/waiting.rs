//! Deliveries that wait in a store, made by the transactions that make them in a daemon.

use clap::Args;
use serde_json::json;

use super::ended::{end_runs, entry};
use crate::{
    clock::Clock,
    model::{output::Output, target::ReplyTarget},
    store::Store,
};

/// Deliveries of one transaction: what a writer can take at once without holding too much in memory.
const AT_ONCE: u64 = 50_000;

/// Deliveries to write.
#[derive(Debug, Args)]
pub(super) struct WaitingArgs {
    /// Deliveries that wait.
    #[arg(long, default_value_t = 0)]
    deliveries: u64,
    /// Lanes that they are spread over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    lanes: u64,
    /// Where they go: the number of the lane is added as a segment of the path.
    #[arg(long, default_value = "http://127.0.0.1:9")]
    url: String,
}

/// Writes them: runs that end with outputs for all lanes, until there are enough.
pub(super) async fn fill(store: &Store, clock: &Clock, args: &WaitingArgs) -> anyhow::Result<()> {
    let mut left = args.deliveries;
    while left > 0 {
        let outputs = (left / args.lanes).clamp(1, AT_ONCE / args.lanes);
        let lanes = args.lanes.min(left);
        end_run(store, clock, outputs, (0..lanes).map(|lane| target(&args.url, lane)).collect()).await?;
        left -= outputs * lanes;
    }
    Ok(())
}

fn target(url: &str, lane: u64) -> ReplyTarget {
    let address = json!({ "url": format!("{url}/{lane}"), "allow_private_network": true });
    ReplyTarget { plugin: "http".to_owned(), address: address.to_string() }
}

async fn end_run(store: &Store, clock: &Clock, outputs: u64, targets: Vec<ReplyTarget>) -> anyhow::Result<()> {
    let entry = entry(clock, "prefilled", targets)?;
    let said = (0..outputs).map(|number| Output::from(format!("Order {number} has arrived."))).collect();
    end_runs(store, clock, vec![entry], said).await
}
