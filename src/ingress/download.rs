//! Files that events name, fetched once the event is durable and the caller has its answer. The run that an event became waits
//! for them, and in its session nobody passes it; then it has each of them as an asset, or is told why it has not.
//!
//! A row is leased, fenced and fetched; fetching twice does no harm, so what was under way when the daemon died is simply due
//! again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::routes::Routes;
use crate::{
    clock::Clock,
    config::downloads::DownloadSettings,
    connectors::{
        Fault,
        outgoing::{Failure, FailureKind},
    },
    delivery::{
        backoff,
        pause::{self, Change, PauseSettings, Word},
    },
    metrics::label::DownloadEnd,
    model::{
        event::RemoteFile,
        ids::ConnectorId,
        run::{RunInput, RunStatus},
    },
    secrets::mask::mask,
    store::{
        Store, StoreError,
        downloads::{self, Download},
        runs,
    },
};

pub mod settle;

use settle::{Fetched, Reclaim, Said, Settle, Settled, Take};

/// What lease owners begin with.
const FAMILY: &str = "downloads:";

/// The wait of a file whose connector is not there, or has too many calls in flight, in milliseconds.
const PUT_OFF_MS: i64 = 1_000;

/// How many files are fetched at once, how large they may be, and for how long.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Of all connectors.
    pub at_once: usize,
    /// Of one connector.
    pub per_connector: usize,
    /// How long one may take at most, the wait for its turn included, in milliseconds.
    pub lease_ms: i64,
    /// Size of a file, in bytes.
    pub file_bytes: u64,
    /// When a connector that its platform has locked out is tried again.
    pub pause: PauseSettings,
    /// The longest wait before that which a platform can ask for, in milliseconds.
    pub max_retry_after_ms: i64,
}

/// Fetches files until it is told to stop.
pub struct Downloads {
    store: Store,
    routes: Arc<Routes>,
    clock: Clock,
    settings: DownloadSettings,
    bounds: Bounds,
    owner: String,
}

impl Downloads {
    /// For the process `instance`.
    pub fn new(
        (store, routes): (Store, Arc<Routes>),
        clock: Clock,
        settings: DownloadSettings,
        bounds: Bounds,
    ) -> Arc<Self> {
        let owner = format!("{FAMILY}{}", clock.instance_id());
        Arc::new(Self { store, routes, clock, settings, bounds, owner })
    }

    /// Runs until `stop`. What is under way then is due again at the next start.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        let former = Reclaim { family: FAMILY, me: self.owner.clone(), now_ms: self.clock.now_ms() };
        self.store.write(former).await?;
        let mut under_way = JoinSet::new();
        let mut connectors: HashMap<Id, String> = HashMap::new();
        let pause = Duration::from_millis(self.settings.poll_interval_ms.max(1));
        while !stop.is_cancelled() {
            let woken = self.store.wakes().downloads.notified();
            tokio::pin!(woken);
            // Registered before looking, so that a wake-up in between is not lost.
            woken.as_mut().enable();
            while under_way.len() < self.bounds.at_once {
                let Some(download) = self.take(&connectors).await? else { break };
                let connector = download.connector.clone();
                let task = under_way.spawn(Arc::clone(&self).fetch(download));
                connectors.insert(task.id(), connector);
            }
            tokio::select! {
                Some(ended) = under_way.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    connectors.remove(&id);
                }
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        under_way.shutdown().await;
        Ok(())
    }

    /// Takes the next file, of a connector that has not too many under way.
    async fn take(&self, connectors: &HashMap<Id, String>) -> Result<Option<Download>, StoreError> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        connectors.values().for_each(|connector| *counts.entry(connector).or_default() += 1);
        let has_room =
            |connector: &String| counts.get(connector.as_str()).is_none_or(|count| *count < self.bounds.per_connector);
        let now_ms = self.clock.now_ms();
        let due = downloads::due(&self.store, now_ms).await?;
        let due: Vec<String> = due.into_iter().filter(has_room).collect();
        if due.is_empty() {
            return Ok(None);
        }
        let until_ms = now_ms.saturating_add(self.bounds.lease_ms);
        let (owner, give_up_after_ms) = (self.owner.clone(), self.settings.retry.give_up_after_ms);
        self.store.write(Take { due, owner, now_ms, until_ms, give_up_after_ms }).await
    }

    async fn fetch(self: Arc<Self>, download: Download) {
        let (run, part) = (download.run, download.part);
        let ended = match self.attempt(&download).await {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%run, part, %error, "a file of run {run} could not be looked up: {error}");
                return;
            }
        };
        let said = self.lock(&download, &ended);
        let fetched = self.judge(&download, ended);
        self.store.metrics().downloads.add(match &fetched {
            Fetched::Asset(_) => DownloadEnd::Fetched,
            Fetched::Unavailable { .. } => DownloadEnd::Unavailable,
            Fetched::Later { .. } => DownloadEnd::PutOff,
        });
        let connector = download.connector.clone();
        match self.store.write(Settle { download, fetched, said, now_ms: self.clock.now_ms() }).await {
            Ok(Settled { written, change }) => {
                tracing::debug!(%run, part, written, "file {part} of run {run} settled");
                match change {
                    Some(Change::Began(pause)) => pause::log_began(&connector, &pause),
                    Some(Change::Ended) => pause::log_ended(&connector, pause::Cause::Probe),
                    None => {}
                }
            }
            Err(error) => {
                tracing::error!(%run, part, %error, "file {part} of run {run} could not be settled; it is fetched again after its lease");
            }
        }
    }

    async fn attempt(&self, download: &Download) -> Result<Result<String, Failure>, StoreError> {
        if let Some((code, reason)) = &download.refused {
            return Ok(failure(FailureKind::Terminal, code, reason.clone(), None));
        }
        let run = runs::get(&self.store, download.run).await?.filter(|run| run.status == RunStatus::Queued);
        let part = usize::try_from(download.part).unwrap_or(usize::MAX);
        let Some(RunInput::RemoteFile(file)) = run.and_then(|run| run.request.input.into_iter().nth(part)) else {
            let reason = "the run does not wait for it any more".to_owned();
            return Ok(failure(FailureKind::Terminal, "gone", reason, None));
        };
        if file.size.is_some_and(|size| size > self.bounds.file_bytes) {
            let reason = format!("the file has more than {} bytes (assets.max_bytes)", self.bounds.file_bytes);
            return Ok(failure(FailureKind::Terminal, "file_too_large", reason, None));
        }
        Ok(self.call(download, file).await)
    }

    async fn call(&self, download: &Download, file: RemoteFile) -> Result<String, Failure> {
        let connector = &download.connector;
        let route = connector
            .split_once('/')
            .and_then(|(kind, name)| self.routes.find(&ConnectorId { kind: kind.to_owned(), name: name.to_owned() }));
        let Some(route) = route.filter(|route| route.plugin.fetches()) else {
            let reason = format!("connector `{connector}` does not serve, or fetches no files any more");
            return failure(FailureKind::Retryable, "connector_gone", reason, Some(PUT_OFF_MS));
        };
        match route.plugin.download(Arc::clone(&route.context), file).await {
            Ok(ended) => ended,
            Err(Fault::Overloaded) => {
                let reason = format!("connector `{connector}` has too many calls in flight");
                failure(FailureKind::Retryable, "overloaded", reason, Some(PUT_OFF_MS))
            }
            Err(fault) => {
                tracing::warn!(connector, error = %fault, "a file could not be fetched through {connector}: {fault}");
                let reason = format!("connector `{connector}` failed; the log says why");
                failure(FailureKind::Retryable, "connector_failed", reason, None)
            }
        }
    }

    /// What an attempt says about the lock of its connector.
    fn lock(&self, download: &Download, ended: &Result<String, Failure>) -> Option<Said> {
        let (word, why) = match ended {
            Ok(_) => (Word::Open, Default::default()),
            Err(Failure { kind, code, reason, retry_after_ms }) => {
                let locked_out = *kind == FailureKind::Unauthorized;
                let word = if locked_out { Word::LockedOut(*retry_after_ms) } else { Word::Nothing };
                (word, (code.clone(), mask(reason).into_owned()))
            }
        };
        let settings = (&self.bounds.pause, self.bounds.max_retry_after_ms);
        let lock = pause::judge(settings, download.probe, word, (self.clock.now_ms(), rand::random()))?;
        Some(Said { lock, why })
    }

    /// Decides what follows. Reading twice does no harm, so what is unknown is tried again like what failed.
    fn judge(&self, download: &Download, ended: Result<String, Failure>) -> Fetched {
        let failure = match ended {
            Ok(asset) => return Fetched::Asset(asset),
            Err(failure) => failure,
        };
        let asked_ms = failure.asked_ms();
        let Failure { kind, code, reason, .. } = failure;
        let (retry, now_ms) = (&self.settings.retry, self.clock.now_ms());
        let own = backoff::delay_ms(retry, download.attempt, rand::random());
        let (wait, counts) = match (kind, asked_ms) {
            (FailureKind::Terminal, _) => (None, true),
            // It is due at once: the pause says when.
            (FailureKind::Unauthorized, _) => (Some(0), false),
            (FailureKind::Retryable | FailureKind::Unknown, Some(asked)) => (Some(asked.max(own)), false),
            (FailureKind::Retryable | FailureKind::Unknown, None) => {
                (Some(own).filter(|_| download.attempt < retry.max_attempts), true)
            }
        };
        let last_ms = download.since_ms.saturating_add(retry.give_up_after_ms);
        match wait.map(|wait| now_ms.saturating_add(wait)).filter(|next_ms| *next_ms <= last_ms) {
            Some(next_ms) => Fetched::Later { next_ms, counts },
            None => Fetched::Unavailable { code, reason: mask(&reason).into_owned() },
        }
    }
}

fn failure<T>(kind: FailureKind, code: &str, reason: String, retry_after_ms: Option<i64>) -> Result<T, Failure> {
    Err(Failure { kind, code: code.to_owned(), reason, retry_after_ms })
}
