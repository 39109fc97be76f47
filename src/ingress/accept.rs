//! Transaction 1, accept: receipt, session and bindings, queued run, and the plugin's effects, all or nothing.
//!
//! Everything is decided before anything is written, so a refusal leaves no trace. Commands that wait together are
//! decided in arrival order, each seeing what those before it will write. An event of a group joins the run of those that came
//! before it, while that run waits.

mod defaults;
mod files;
mod gather;
mod known;

use std::{collections::HashMap, sync::Arc};

use known::{Decision, Fate, Known};

use super::rate::RateLimit;
use crate::{
    connectors::Effect,
    model::{
        happening::{self, Happening, RunChange, Verdict},
        ids::{RunId, SessionId},
        run::{Run, RunRequest, RunStatus},
        target::ReplyTarget,
    },
    sessions::placement::{Place, Placement, Unplaced},
    store::{
        StoreError,
        assets::{self, NewAsset},
        bindings,
        gatherings::GroupKey,
        heads::{self, Added, Line, Tail},
        key_values,
        receipts::{self, NewReceipt, ReceiptKey},
        runs,
        writer::{Command, Tx},
    },
};

/// The source of runs that are submitted through the API.
pub const API: &str = "api";

/// Events to make durable together, with the effects of the call that made them.
#[derive(Debug)]
pub struct Accept {
    /// The connector whose state the effects change, as `kind/name`; or [`API`].
    pub source: String,
    /// In arrival order.
    pub entries: Vec<Entry>,
    /// Applied in order, unless every entry is a duplicate: then they were applied before.
    pub effects: Vec<Effect>,
    /// Spent for each event that is new. Here, where it is known which ones are: duplicates cost nothing.
    pub rate: Option<Arc<RateLimit>>,
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
}

/// One event, ready.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id of the run that it becomes.
    pub run: RunId,
    /// What tells it from other events; absent when every call is a new event.
    pub key: Option<Key>,
    /// How its session is found.
    pub placement: Placement,
    /// What the run is made from.
    pub request: RunRequest,
    /// Whether the targets become the session's defaults when it is idle: a connector's event named them itself.
    pub write_back: bool,
    /// Who performs the runs of a session that is made for it; the default one when absent.
    pub executor: Option<String>,
    /// Files that came along.
    pub assets: Vec<NewAsset>,
    /// Whether files that are still on the platform are fetched before the run begins.
    pub fetch: bool,
    /// The group that it belongs to: it joins the run of those that came before, or its run waits for those to come.
    pub gathers: Option<Gathers>,
}

/// A group of events that become one run, from the view of one of them.
#[derive(Clone, Copy, Debug)]
pub struct Gathers {
    /// What tells the group from others.
    pub key: GroupKey,
    /// The event's place in it.
    pub position: u64,
    /// How long the run waits for the next one, in milliseconds.
    pub wait_ms: i64,
    /// How long it waits at most, from its first event on.
    pub longest_ms: i64,
    /// How many events it takes.
    pub most: usize,
}

/// What tells an event from others, and a replay from a conflict.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The receipt's key.
    pub receipt: ReceiptKey,
    /// SHA-256 of the event's fingerprint.
    pub fingerprint: [u8; 32],
}

/// What became of one event.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is a new run; so many runs of its session wait before it.
    Fresh(Box<Run>, i64),
    /// It is part of a run that waited for it.
    Joined(RunId),
    /// It was accepted before, as this run.
    Duplicate(RunId),
}

/// Why a command was refused. Nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// The key was used for another payload, of which this run was made.
    #[error("this idempotency key was accepted before with a different payload: send a new key, or the same payload")]
    Conflict(RunId),
    /// No session by this name, and the connector may not make one.
    #[error(
        "session `{0}` does not exist and session_policy.create_if_missing is false: create it, or allow the connector to"
    )]
    UnknownSession(SessionId),
    /// No place for it.
    #[error(transparent)]
    Unplaced(#[from] Unplaced),
    /// Too many new events; there is room for them in so many milliseconds.
    #[error("over the rate: come back later (retry_after_ms={0})")]
    TooFast(u64),
    /// It refers to a file that is not there.
    #[error("asset `{0}` does not exist")]
    UnknownAsset(String),
}

impl Command for Accept {
    type Reply = Result<Vec<Accepted>, Refused>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<Self::Reply>, StoreError> {
        let mut known = Known::read(batch, tx).await?;
        let decisions: Vec<_> = batch.iter().map(|command| known.decide(command)).collect();
        let written = write(batch, &decisions, tx).await;
        if written.is_err() {
            known.give_back();
        }
        let mut written = written?;
        let mut replies = Vec::with_capacity(batch.len());
        for (command, decision) in batch.iter().zip(decisions) {
            replies.push(match decision {
                Ok(fates) => Ok(reply(command, fates, &mut written)?),
                Err(refused) => Err(refused),
            });
        }
        Ok(replies)
    }
}

/// New runs, each with how many runs of its session wait before it.
type Written = HashMap<RunId, (Run, i64)>;

/// An event that is a new run, and its place.
type Fresh<'a> = (&'a Entry, &'a Place);

/// An event that was not known before, the run that it is or joins, and its place.
type New<'a> = (&'a Entry, RunId, &'a Place);

/// Writes what was decided, a statement for each table.
async fn write(batch: &[Accept], decisions: &[Decision], tx: &mut Tx<'_>) -> Result<Written, StoreError> {
    let Some(now_ms) = batch.first().map(|command| command.now_ms) else { return Ok(Written::new()) };
    let accepted =
        || batch.iter().zip(decisions).filter_map(|(command, decision)| Some((command, decision.as_ref().ok()?)));
    let new: Vec<New<'_>> = accepted()
        .flat_map(|(command, fates)| command.entries.iter().zip(fates))
        .filter_map(|(entry, fate)| fate.of_new(entry).map(|(run, place)| (entry, run, place)))
        .collect();
    for asset in new.iter().flat_map(|(entry, ..)| &entry.assets) {
        assets::insert(tx, asset, now_ms).await?;
    }
    for (entry, run, _) in &new {
        assets::refer(tx, *run, entry.asset_ids()).await?;
    }
    let fresh: Vec<Fresh<'_>> =
        new.iter().filter(|(entry, run, _)| entry.run == *run).map(|(entry, _, place)| (*entry, *place)).collect();
    gather::lock(&new, tx).await?;
    let tails = heads::grow(tx, Line::Sessions, &per_session(&fresh), now_ms).await?;
    let defaults = defaults::settle(tx, &fresh, &tails, now_ms).await?;
    let written = insert_runs(tx, &fresh, (&tails, &defaults), now_ms).await?;
    insert_receipts(tx, &new, now_ms).await?;
    for (command, decision) in accepted() {
        files::insert(command, decision, tx).await?;
        gather::write(command, decision, tx).await?;
    }
    let bound: Vec<(&str, &SessionId)> = new
        .iter()
        .flat_map(|(.., place)| place.newly_bound.iter().map(move |key| (key.as_str(), &place.session)))
        .collect();
    bindings::insert(tx, &bound).await?;
    for (command, fates) in accepted() {
        for (entry, fate) in command.entries.iter().zip(fates) {
            if let Some(told) = told(command, written.get(&entry.run).map(|(run, _)| run), fate) {
                tx.record(told);
            }
        }
        let replayed = !fates.is_empty() && fates.iter().all(|fate| matches!(fate, Fate::Duplicate(_)));
        if !replayed {
            write_effects(tx, command).await?;
        }
    }
    if !new.is_empty() {
        tx.wake_runs();
    }
    Ok(written)
}

async fn insert_receipts(tx: &mut Tx<'_>, new: &[New<'_>], now_ms: i64) -> Result<(), StoreError> {
    let keyed = new.iter().filter_map(|(entry, run, _)| Some((entry.key.as_ref()?, *run)));
    let receipts: Vec<NewReceipt> =
        keyed.map(|(key, run)| NewReceipt { key: key.receipt, fingerprint: key.fingerprint, run }).collect();
    receipts::insert(tx, &receipts, now_ms).await
}

fn per_session<'a>(fresh: &[Fresh<'a>]) -> Vec<Added<'a>> {
    let mut counts: HashMap<&str, Added<'a>> = HashMap::new();
    for (entry, place) in fresh {
        let id = place.session.as_str();
        counts.entry(id).or_insert(Added { id, count: 0, owner: entry.executor.as_deref() }).count += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    // Rows are locked in one order everywhere, so that two daemons cannot wait for each other.
    counts.sort_unstable_by_key(|added| added.id);
    counts
}

async fn insert_runs(
    tx: &mut Tx<'_>,
    fresh: &[Fresh<'_>],
    (tails, defaults): (&HashMap<String, Tail>, &HashMap<SessionId, Vec<ReplyTarget>>),
    now_ms: i64,
) -> Result<Written, StoreError> {
    let mut left: HashMap<&str, i64> = per_session(fresh).iter().map(|added| (added.id, added.count)).collect();
    let mut new_runs = Vec::with_capacity(fresh.len());
    let mut before = Vec::with_capacity(fresh.len());
    for (entry, Place { session, .. }) in fresh {
        let tail =
            tails.get(session.as_str()).ok_or(StoreError::Damaged("a session that was extended is not there"))?;
        let left = left.entry(session.as_str()).or_default();
        *left -= 1;
        let mut run = new_run(entry, session, tail.last_seq - *left, now_ms);
        run.executor.clone_from(&tail.owner);
        if run.request.reply_targets.is_empty() {
            run.request.reply_targets = defaults.get(session).cloned().unwrap_or_default();
        }
        new_runs.push(run);
        before.push(tail.queued - 1 - *left);
    }
    runs::insert(tx, &new_runs).await?;
    Ok(new_runs.into_iter().zip(before).map(|(run, before)| (run.id, (run, before))).collect())
}

fn new_run(entry: &Entry, session: &SessionId, seq: i64, now_ms: i64) -> Run {
    Run {
        id: entry.run,
        session: session.clone(),
        seq,
        status: RunStatus::Queued,
        epoch: 0,
        attempt: 0,
        request: entry.request.clone(),
        submitted_ms: now_ms,
        started_ms: None,
        finished_ms: None,
        error: None,
        body_pruned: false,
        cancel_ms: None,
        executor: String::new(),
        usage: None,
    }
}

/// What is told of an event: the new run, by whoever made it, or the run that it joined.
fn told(command: &Accept, run: Option<&Run>, fate: &Fate) -> Option<Happening> {
    let accepted = |session| happening::ingress(&command.source, Verdict::Accepted).in_session(session);
    match (run, fate) {
        (Some(run), _) if command.source == API => Some(happening::run_updated(run, RunChange::Queued)),
        (Some(run), _) => Some(accepted(&run.session).in_run(run.id).with("seq", run.seq)),
        (None, Fate::Joined(run, place)) => Some(accepted(&place.session).in_run(*run).with("joined", true)),
        (None, _) => None,
    }
}

async fn write_effects(tx: &mut Tx<'_>, command: &Accept) -> Result<(), StoreError> {
    for effect in &command.effects {
        match effect {
            Effect::Set { key, value } => key_values::set(tx, &command.source, key, value).await?,
            Effect::Delete { key } => key_values::delete(tx, &command.source, key).await?,
        }
    }
    Ok(())
}

fn reply(command: &Accept, fates: Vec<Fate>, written: &mut Written) -> Result<Vec<Accepted>, StoreError> {
    let entries = command.entries.iter().zip(fates);
    entries
        .map(|(entry, fate)| match fate {
            Fate::Duplicate(run) => Ok(Accepted::Duplicate(run)),
            Fate::Joined(run, _) => Ok(Accepted::Joined(run)),
            Fate::Fresh(_) => {
                let (run, before) =
                    written.remove(&entry.run).ok_or(StoreError::Damaged("an accepted run was not written"))?;
                Ok(Accepted::Fresh(Box::new(run), before))
            }
        })
        .collect()
}
