//! Transaction 1, accept: receipt, session and bindings, queued run, and the plugin's effects, all or nothing.
//!
//! Everything is decided before anything is written, so a refusal leaves no trace. Commands that wait together are
//! decided in arrival order, each seeing what those before it will write.

mod defaults;
mod files;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::rate::RateLimit;
use crate::{
    connectors::Effect,
    model::{
        happening::{self, Happening, RunChange, Verdict},
        ids::{RunId, SessionId},
        run::{Run, RunRequest, RunStatus},
        target::ReplyTarget,
    },
    sessions::placement::{Placement, Unplaced},
    store::{
        StoreError,
        assets::{self, NewAsset},
        bindings,
        heads::{self, Added, Line, Tail},
        key_values,
        receipts::{self, NewReceipt, Receipt, ReceiptKey},
        runs, sessions,
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

/// What an entry will become.
enum Fate {
    Fresh { session: SessionId, newly_bound: Vec<String> },
    Duplicate(RunId),
}

type Decision = Result<Vec<Fate>, Refused>;

/// The rows that decisions rest on, and what earlier commands of the batch add to them.
struct Known {
    receipts: HashMap<Vec<u8>, Receipt>,
    bindings: HashMap<String, SessionId>,
    sessions: HashSet<SessionId>,
    assets: HashSet<String>,
    /// Rate tokens that were spent for this batch.
    spent: Vec<(Arc<RateLimit>, u64)>,
}

impl Known {
    async fn read(batch: &[Accept], tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        let entries = || batch.iter().flat_map(|command| &command.entries);
        let keys: Vec<ReceiptKey> = entries().filter_map(|entry| Some(entry.key.as_ref()?.receipt)).collect();
        let receipts = receipts::find_by_keys(tx, &keys).await?;
        let binding_keys: Vec<&str> =
            entries().flat_map(|entry| &entry.placement.binding_keys).map(String::as_str).collect();
        let bindings = bindings::find_by_keys(tx, &binding_keys).await?;
        let asset_ids: Vec<&str> = entries().flat_map(|entry| entry.referenced_assets()).collect();
        let assets = assets::existing(tx, &asset_ids).await?;
        let wary = entries().filter(|entry| !entry.placement.create);
        let wanted: Vec<&SessionId> = wary
            .flat_map(|entry| {
                let bound = entry.placement.binding_keys.iter().filter_map(|key| bindings.get(key));
                bound.chain(&entry.placement.chosen).chain(&entry.placement.natural)
            })
            .collect();
        let sessions = sessions::existing(tx, &wanted).await?;
        Ok(Self { receipts, bindings, sessions, assets, spent: Vec::new() })
    }

    /// Decides one command and, when all of it is accepted, remembers what it will write.
    fn decide(&mut self, command: &Accept) -> Decision {
        let mut fates = Vec::with_capacity(command.entries.len());
        let decided = command.entries.iter().try_for_each(|entry| {
            let fate = self.decide_entry(entry)?;
            self.remember(entry, &fate);
            fates.push(fate);
            Ok(())
        });
        match decided.and_then(|()| self.spend(command, &fates)) {
            Ok(()) => Ok(fates),
            Err(refused) => {
                command.entries.iter().zip(&fates).for_each(|(entry, fate)| self.forget(entry, fate));
                Err(refused)
            }
        }
    }

    fn spend(&mut self, command: &Accept, fates: &[Fate]) -> Result<(), Refused> {
        let fresh = fates.iter().filter(|fate| matches!(fate, Fate::Fresh { .. })).count() as u64;
        let Some(rate) = command.rate.as_ref().filter(|_| fresh > 0) else { return Ok(()) };
        rate.try_take(command.now_ms, fresh).map_err(Refused::TooFast)?;
        self.spent.push((Arc::clone(rate), fresh));
        Ok(())
    }

    fn give_back(&self) {
        self.spent.iter().for_each(|(rate, tokens)| rate.give_back(*tokens));
    }

    fn decide_entry(&self, entry: &Entry) -> Result<Fate, Refused> {
        if let Some(key) = &entry.key
            && let Some(receipt) = self.receipts.get(key.receipt.as_slice())
        {
            let same = receipt.fingerprint == key.fingerprint;
            return if same { Ok(Fate::Duplicate(receipt.run)) } else { Err(Refused::Conflict(receipt.run)) };
        }
        if let Some(missing) = entry.referenced_assets().find(|id| !self.assets.contains(*id)) {
            return Err(Refused::UnknownAsset(missing.to_owned()));
        }
        let place = entry.placement.decide(&self.bindings)?;
        if !entry.placement.create && !self.sessions.contains(&place.session) {
            return Err(Refused::UnknownSession(place.session));
        }
        Ok(Fate::Fresh { session: place.session, newly_bound: place.newly_bound })
    }

    fn remember(&mut self, entry: &Entry, fate: &Fate) {
        let Fate::Fresh { session, newly_bound } = fate else { return };
        if let Some(key) = &entry.key {
            let receipt = Receipt { fingerprint: key.fingerprint.to_vec(), run: entry.run };
            self.receipts.insert(key.receipt.to_vec(), receipt);
        }
        self.bindings.extend(newly_bound.iter().map(|key| (key.clone(), session.clone())));
    }

    fn forget(&mut self, entry: &Entry, fate: &Fate) {
        let Fate::Fresh { newly_bound, .. } = fate else { return };
        if let Some(key) = &entry.key {
            self.receipts.remove(key.receipt.as_slice());
        }
        newly_bound.iter().for_each(|key| drop(self.bindings.remove(key)));
    }
}

/// New runs, each with how many runs of its session wait before it.
type Written = HashMap<RunId, (Run, i64)>;

/// A new event, its session, and the names that it gives to the session.
type Fresh<'a> = (&'a Entry, &'a SessionId, &'a Vec<String>);

/// Writes what was decided, a statement for each table.
async fn write(batch: &[Accept], decisions: &[Decision], tx: &mut Tx<'_>) -> Result<Written, StoreError> {
    let Some(now_ms) = batch.first().map(|command| command.now_ms) else { return Ok(Written::new()) };
    let accepted =
        || batch.iter().zip(decisions).filter_map(|(command, decision)| Some((command, decision.as_ref().ok()?)));
    let fresh: Vec<Fresh<'_>> = accepted()
        .flat_map(|(command, fates)| command.entries.iter().zip(fates))
        .filter_map(|(entry, fate)| match fate {
            Fate::Fresh { session, newly_bound } => Some((entry, session, newly_bound)),
            Fate::Duplicate(_) => None,
        })
        .collect();
    for asset in fresh.iter().flat_map(|(entry, ..)| &entry.assets) {
        assets::insert(tx, asset, now_ms).await?;
    }
    for (entry, ..) in &fresh {
        assets::refer(tx, entry.run, entry.asset_ids()).await?;
    }
    let tails = heads::grow(tx, Line::Sessions, &per_session(&fresh), now_ms).await?;
    let defaults = defaults::settle(tx, &fresh, &tails, now_ms).await?;
    let written = insert_runs(tx, &fresh, (&tails, &defaults), now_ms).await?;
    let receipts: Vec<NewReceipt> = fresh
        .iter()
        .filter_map(|(entry, ..)| {
            let key = entry.key.as_ref()?;
            Some(NewReceipt { key: key.receipt, fingerprint: key.fingerprint, run: entry.run })
        })
        .collect();
    receipts::insert(tx, &receipts, now_ms).await?;
    for (command, decision) in accepted() {
        files::insert(command, decision, tx).await?;
    }
    let bound: Vec<(&str, &SessionId)> =
        fresh.iter().flat_map(|(_, session, keys)| keys.iter().map(move |key| (key.as_str(), *session))).collect();
    bindings::insert(tx, &bound).await?;
    for (command, fates) in accepted() {
        for entry in command.entries.iter() {
            if let Some((run, _)) = written.get(&entry.run) {
                tx.record(told(command, run));
            }
        }
        let replayed = !fates.is_empty() && fates.iter().all(|fate| matches!(fate, Fate::Duplicate(_)));
        if !replayed {
            write_effects(tx, command).await?;
        }
    }
    if !fresh.is_empty() {
        tx.wake_runs();
    }
    Ok(written)
}

fn per_session<'a>(fresh: &[Fresh<'a>]) -> Vec<Added<'a>> {
    let mut counts: HashMap<&str, Added<'a>> = HashMap::new();
    for (entry, session, _) in fresh {
        let id = session.as_str();
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
    for (entry, session, _) in fresh {
        let tail =
            tails.get(session.as_str()).ok_or(StoreError::Damaged("a session that was extended is not there"))?;
        let left = left.entry(session.as_str()).or_default();
        *left -= 1;
        let mut run = new_run(entry, session, tail.last_seq - *left, now_ms);
        run.executor.clone_from(&tail.owner);
        if run.request.reply_targets.is_empty() {
            run.request.reply_targets = defaults.get(*session).cloned().unwrap_or_default();
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

/// A new run, by whoever made it.
fn told(command: &Accept, run: &Run) -> Happening {
    if command.source == API {
        return happening::run_updated(run, RunChange::Queued);
    }
    happening::ingress(&command.source, Verdict::Accepted).in_session(&run.session).in_run(run.id).with("seq", run.seq)
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
            Fate::Fresh { .. } => {
                let (run, before) =
                    written.remove(&entry.run).ok_or(StoreError::Damaged("an accepted run was not written"))?;
                Ok(Accepted::Fresh(Box::new(run), before))
            }
        })
        .collect()
}
