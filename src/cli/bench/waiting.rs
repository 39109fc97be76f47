//! Deliveries that wait in a store, made by the transactions that make them in a daemon.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{json, value::RawValue};

use crate::{
    clock::Clock,
    delivery::destinations::NoConnectors,
    ingress::accept::{API, Accept, Entry},
    model::{
        event::SessionKey,
        ids::ConnectorId,
        output::Output,
        run::{RunInput, RunRequest},
        target::ReplyTarget,
    },
    outputs::{
        address::Desk,
        finish::{End, Finish, Finished},
    },
    queue::claim::Claim,
    sessions::placement::Placement,
    store::{Store, runs::Fence},
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
    let connector = ConnectorId { kind: API.to_owned(), name: "prefilled".to_owned() };
    let session = SessionKey::RoutingKey("prefilled".to_owned());
    let request = RunRequest {
        source_plugin: API.to_owned(),
        source_kind: API.to_owned(),
        actor: None,
        input: vec![RunInput::Text { text: "prefilled".to_owned() }],
        metadata: RawValue::from_string("{}".to_owned())?,
        reply_targets: targets,
    };
    let placement = Placement::new(&connector, &session, Vec::new())?.creating(true);
    let entry = Entry {
        run: clock.run_id(),
        key: None,
        placement,
        request,
        write_back: false,
        executor: None,
        assets: Vec::new(),
        fetch: false,
    };
    let accept = Accept {
        source: API.to_owned(),
        entries: vec![entry],
        effects: Vec::new(),
        rate: None,
        now_ms: clock.now_ms(),
    };
    store.write(accept).await??;
    let executors = vec![String::new()];
    let claim = Claim { owner: "prefill".to_owned(), executors, limit: 1, lease_ms: 600_000, now_ms: clock.now_ms() };
    let claimed = store.write(claim).await?.pop().context("the run that was made is claimed")?;
    let said = (0..outputs).map(|number| Output::from(format!("Order {number} has arrived."))).collect();
    let desk = Desk { clock: clock.clone(), destinations: Arc::new(NoConnectors) };
    let fence = Fence { run: claimed.run.id, epoch: claimed.run.epoch };
    let finished = store.write(Finish { fence, end: End::Completed(said), desk }).await?;
    ensure!(matches!(finished, Finished::Done(_)), "the run did not end: {finished:?}");
    Ok(())
}
