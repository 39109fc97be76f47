//! Runs that ended, by the transactions that end them in a daemon.

use std::sync::Arc;

use anyhow::ensure;
use futures_util::future;
use serde_json::value::RawValue;

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

/// Runs that are taken at once.
const AT_ONCE: u64 = 500;

/// Writes so many runs with an output each, every one in a session of its own.
pub(super) async fn fill(store: &Store, clock: &Clock, runs: u64) -> anyhow::Result<()> {
    for from in (0..runs).step_by(AT_ONCE as usize) {
        let numbers = from..(from + AT_ONCE).min(runs);
        let entries = numbers.map(|number| entry(clock, &format!("ended-{number}"), Vec::new()));
        let entries = entries.collect::<anyhow::Result<Vec<_>>>()?;
        end_runs(store, clock, entries, vec![Output::from("Order 123 has arrived.".to_owned())]).await?;
    }
    Ok(())
}

/// An event in the session of this name.
pub(super) fn entry(clock: &Clock, session: &str, reply_targets: Vec<ReplyTarget>) -> anyhow::Result<Entry> {
    let connector = ConnectorId { kind: API.to_owned(), name: "prefilled".to_owned() };
    let request = RunRequest {
        source_plugin: API.to_owned(),
        source_kind: API.to_owned(),
        actor: None,
        input: vec![RunInput::Text { text: "prefilled".to_owned() }],
        metadata: RawValue::from_string("{}".to_owned())?,
        reply_targets,
    };
    let session = SessionKey::RoutingKey(session.to_owned());
    Ok(Entry {
        run: clock.run_id(),
        key: None,
        placement: Placement::new(&connector, &session, Vec::new())?.creating(true),
        request,
        write_back: false,
        executor: None,
        assets: Vec::new(),
        fetch: false,
        gathers: None,
    })
}

/// Accepts them, and ends each run with what is said.
pub(super) async fn end_runs(
    store: &Store,
    clock: &Clock,
    entries: Vec<Entry>,
    said: Vec<Output>,
) -> anyhow::Result<()> {
    let (count, now_ms) = (entries.len(), clock.now_ms());
    let accept = Accept { source: API.to_owned(), entries, effects: Vec::new(), rate: None, now_ms };
    store.write(accept).await??;
    let executors = vec![String::new()];
    let limit = i64::try_from(count)?;
    let claim = Claim { owner: "prefill".to_owned(), executors, limit, lease_ms: 600_000, now_ms };
    let claimed = store.write(claim).await?;
    ensure!(claimed.len() == count, "{} of {count} runs were claimed", claimed.len());
    let finished = claimed.iter().map(|claimed| {
        let desk = Desk { clock: clock.clone(), destinations: Arc::new(NoConnectors) };
        let fence = Fence { run: claimed.run.id, epoch: claimed.run.epoch };
        store.write(Finish { fence, end: End::Completed(said.clone()), desk })
    });
    for finished in future::join_all(finished).await {
        let finished = finished?;
        ensure!(matches!(finished, Finished::Done(_)), "the run did not end: {finished:?}");
    }
    Ok(())
}
