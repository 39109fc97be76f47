//! The loop that performs runs inside the daemon: claim some, answer them side by side, finish each.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Answer, Executor,
    attempt::{Again, Attempt, Failure},
    health::Health,
};
use crate::{
    metrics::label::RunOutcome,
    model::run::{Run, RunError},
    outputs::{
        address::Desk,
        append::MAX_OUTPUTS,
        finish::{End, Finish, Finished},
    },
    places::Places,
    queue::{
        QueueSettings,
        claim::{self, Claim, ClaimedRun},
        hold::{Heartbeat, Held},
    },
    store::{Store, StoreError, heads, runs::Fence},
    telemetry::trace,
};

/// What lease owners of the daemon's own workers begin with.
pub const FAMILY: &str = "daemon:";

/// Performs runs until it is told to stop.
pub struct Worker {
    store: Store,
    desk: Desk,
    settings: QueueSettings,
    owner: String,
    post: Post,
}

/// What a worker is for.
pub struct Post {
    /// The executor's name.
    pub name: String,
    /// Where it is taken down how the executor fares.
    pub health: Arc<Health>,
    /// What the sessions that it serves have as executor; empty is the default.
    pub serves: Vec<String>,
    /// Runs at once.
    pub concurrent_runs: usize,
    /// Who answers them.
    pub executor: Arc<dyn Executor>,
}

impl Post {
    /// Whether its sessions are few: those that name an executor which is not the default.
    fn is_aside(&self) -> bool {
        !self.serves.iter().any(String::is_empty)
    }
}

/// Why an attempt does not go on.
enum Stop {
    /// The run belongs to somebody else now.
    Lost,
    /// Somebody asked for its end.
    Cancelled,
}

impl Worker {
    /// A worker that holds its leases as `owner`.
    pub fn new(store: Store, desk: Desk, settings: QueueSettings, owner: String, post: Post) -> Arc<Self> {
        Arc::new(Self { store, desk, settings, owner, post })
    }

    /// Runs until `stop`; then lets what is under way end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        let places = Places::new(self.post.concurrent_runs);
        while !stop.is_cancelled() {
            let woken = self.store.wakes().runs.notified();
            tokio::pin!(woken);
            // Registered before looking, so that a wake-up in between is not lost.
            woken.as_mut().enable();
            if self.perform_some(&places).await? == 0 {
                tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep(Duration::from_millis(self.settings.poll_interval_ms)) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        places.emptied().await;
        Ok(())
    }

    async fn perform_some(self: &Arc<Self>, places: &Places) -> Result<usize, StoreError> {
        let free = places.take_free().await;
        // From before the claim, so that no later wish to end one of its runs is missed.
        let cancels = self.store.wakes().cancels.subscribe();
        let now_ms = self.desk.clock.now_ms();
        if self.post.is_aside() && !heads::is_ready(&self.store, &self.post.serves, now_ms).await? {
            return Ok(0);
        }
        let claim = Claim {
            owner: self.owner.clone(),
            executors: self.post.serves.clone(),
            limit: i64::try_from(free.len()).unwrap_or(i64::MAX),
            lease_ms: self.settings.default_lease_ms,
            now_ms,
        };
        let claimed = self.store.write(claim).await?;
        let count = claimed.len();
        for (ClaimedRun { run, .. }, place) in claimed.into_iter().zip(free) {
            claim::count_start(&self.store, &run);
            let span = trace::execute(run.id);
            places.spawn(place, Arc::clone(self).attempt(run, cancels.clone()).instrument(span));
        }
        Ok(count)
    }

    async fn attempt(self: Arc<Self>, run: Run, cancels: watch::Receiver<u64>) {
        let fence = Fence { run: run.id, epoch: run.epoch };
        let attempt = Attempt::new(&self.store, &self.desk.clock, &run);
        let end = tokio::select! {
            answer = self.asked(&run, &attempt) => match answer {
                Ok(Answer::Said(outputs)) => End::Completed(outputs),
                Ok(Answer::HandedOver) => {
                    tracing::info!(run = %run.id, "run {} was taken over by its receiver", run.id);
                    return;
                }
                Err(failure) => self.end(&run, failure),
            },
            stopped = self.hold(fence, cancels) => match stopped {
                Stop::Cancelled => End::Stopped,
                Stop::Lost => {
                    tracing::warn!(run = %run.id, "run {} lost its lease; its attempt was dropped", run.id);
                    return;
                }
            }
        };
        if let Some(refused) = self.finish(&run, end).await {
            self.finish(&run, End::Failed(refused)).await;
        }
    }

    /// What the executor answers; how it fares is taken down.
    async fn asked(&self, run: &Run, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
        let answer = self.post.executor.perform(run, attempt).await;
        self.post.health.attempted(&self.post.name, &answer, self.desk.clock.now_ms());
        answer
    }

    /// Writes an attempt's end. What it says may be refused; then the answer is why, and the run is as it was.
    async fn finish(&self, run: &Run, end: End) -> Option<RunError> {
        let fence = Fence { run: run.id, epoch: run.epoch };
        let outcome = end.outcome();
        let finish = self.store.write(Finish { fence, end, desk: self.desk.clone() });
        match finish.instrument(trace::finish(run.id)).await {
            Ok(Finished::Done(_)) => {
                self.store.metrics().runs.add(outcome);
                tracing::debug!(run = %run.id, ?outcome, "run {} ended", run.id);
            }
            Ok(Finished::Cancelled(_)) => {
                self.store.metrics().runs.add(RunOutcome::Cancelled);
                tracing::info!(run = %run.id, "run {} was cancelled", run.id);
            }
            Ok(Finished::Lost) => {
                self.store.metrics().fenced_writes.inc();
                tracing::warn!(run = %run.id, "run {} was taken over before it ended", run.id);
            }
            Ok(Finished::UnknownAsset(asset)) => {
                let detail = format!("there is no asset `{asset}` to go out");
                return Some(RunError { code: "asset_not_found".to_owned(), detail });
            }
            Ok(Finished::TooMany) => {
                let detail = format!("a run says at most {MAX_OUTPUTS} outputs");
                return Some(RunError { code: "too_many_outputs".to_owned(), detail });
            }
            Err(error) => {
                tracing::error!(run = %run.id, %error, "run {} could not be finished; it is taken up again after its lease", run.id)
            }
        }
        None
    }

    /// The end of an attempt without an answer: the run waits for another where one may help and the settings allow it.
    fn end(&self, run: &Run, failure: Failure) -> End {
        let asked_ms = match failure.again {
            Again::Never => return End::Failed(failure.error),
            Again::Later => 0,
            Again::NotBefore(asked_ms) => asked_ms,
        };
        if run.attempt >= self.settings.max_attempts {
            return End::Failed(failure.error);
        }
        let wait_ms = self.settings.wait_ms(run.attempt, asked_ms);
        let (code, detail) = (&failure.error.code, &failure.error.detail);
        tracing::warn!(run = %run.id, code, "run {} is tried again in {wait_ms} ms: {detail}", run.id);
        End::Retry { wait_ms }
    }

    /// Renews the lease for as long as the run goes on; returns when it was lost, or somebody asked for the run's end.
    async fn hold(&self, fence: Fence, mut cancels: watch::Receiver<u64>) -> Stop {
        let beat = Duration::from_millis(u64::try_from(self.settings.default_lease_ms / 6).unwrap_or(1).max(1));
        loop {
            tokio::select! {
                () = tokio::time::sleep(beat) => {}
                Ok(()) = cancels.changed() => {}
            }
            let until_ms = self.desk.clock.now_ms() + self.settings.default_lease_ms;
            match self.store.write(Heartbeat { fence, until_ms }).await {
                Ok(Held::Lost) => return Stop::Lost,
                Ok(Held::Cancelled(_)) => return Stop::Cancelled,
                Ok(Held::Until(_)) | Err(_) => {}
            }
        }
    }
}
