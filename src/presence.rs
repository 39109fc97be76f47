//! Signs at platforms that an answer is on its way, for as long as a run is performed, whoever performs it.
//!
//! Best effort, beside the stages: what begins and ends a sign are hints of commits, and neither a claim nor a delivery waits for
//! one. Nothing is written, nothing is tried again, and what fails changes nothing but that people see no sign. Outputs go out
//! once their run has ended, so signs end before the first of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::presence::PresenceSettings,
    connectors::outgoing::FailureKind,
    delivery::{destinations::Destinations, targets},
    model::{
        ids::{ConnectorId, RunId},
        target::ReplyTarget,
    },
    store::{Store, lanes, runs},
};

/// Shows signs.
pub struct Presence {
    store: Store,
    destinations: Arc<dyn Destinations>,
    clock: Clock,
    settings: PresenceSettings,
}

/// Runs whose signs are shown now.
#[derive(Default)]
struct Shown {
    runs: HashMap<RunId, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Presence {
    /// Signs of the runs of this store, at these connectors.
    pub fn new(
        store: Store,
        destinations: Arc<dyn Destinations>,
        clock: Clock,
        settings: PresenceSettings,
    ) -> Arc<Self> {
        Arc::new(Self { store, destinations, clock, settings })
    }

    /// Shows them until `stop`, for runs that begin after this call.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        let most = self.settings.concurrent_runs;
        let performed = (most > 0).then(|| self.store.wakes().performed.subscribe());
        async move {
            if let Some(performed) = performed {
                self.follow(performed, most, stop).await;
            }
        }
    }

    async fn follow(self: Arc<Self>, mut performed: Receiver<(RunId, bool)>, most: usize, stop: CancellationToken) {
        let mut shown = Shown::default();
        loop {
            tokio::select! {
                // What has ended is taken away before anything else is looked at.
                biased;
                hint = performed.recv() => match hint {
                    Ok((run, begins)) => {
                        shown.end(run);
                        if begins && shown.runs.len() < most {
                            let sign = Arc::clone(&self).show(run);
                            shown.runs.insert(run, shown.tasks.spawn(sign));
                        }
                    }
                    // Nobody knows which of them have ended.
                    Err(RecvError::Lagged(_)) => shown = Shown::default(),
                    Err(RecvError::Closed) => return,
                },
                Some(ended) = shown.tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    shown.runs.retain(|_, task| task.id() != id);
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Shows a run's signs until it is dropped, or no sign of it can be shown.
    async fn show(self: Arc<Self>, run: RunId) {
        sleep(Duration::from_millis(self.settings.delay_ms)).await;
        match runs::reply_targets(&self.store, run).await {
            Ok(targets) => drop(join_all(targets.iter().map(|target| self.keep(target))).await),
            Err(error) => tracing::debug!(%run, %error, "run {run} shows no sign: {error}"),
        }
    }

    async fn keep(&self, target: &ReplyTarget) {
        let Ok((id, route)) = targets::split(target) else { return };
        let lane = target.lane();
        while let Some(wait) = self.once(&id, &route, &lane).await {
            sleep(wait).await;
        }
    }

    /// Shows a sign once, and says after which time again; none where it cannot be shown.
    async fn once(&self, id: &ConnectorId, route: &str, lane: &str) -> Option<Duration> {
        let (plugin, context) = self.destinations.find(id).filter(|(plugin, _)| plugin.shows_typing())?;
        // A little early, so that it does not go out in between.
        let wait = Duration::from_millis(plugin.manifest().presence.lasts_ms / 5 * 4);
        if lanes::is_shut(&self.store, lane, &id.to_string(), self.clock.now_ms()).await.unwrap_or(true) {
            return Some(wait);
        }
        match plugin.typing(context, route.to_owned()).await {
            Ok(Ok(())) => Some(wait),
            Ok(Err(failure)) => {
                let code = failure.code;
                tracing::debug!(connector = %id, code, "{id} shows no sign: {}", failure.reason);
                let asked = Duration::from_millis(failure.retry_after_ms.unwrap_or(0).unsigned_abs());
                match failure.kind {
                    FailureKind::Retryable | FailureKind::Unknown => Some(wait.max(asked)),
                    FailureKind::Terminal | FailureKind::Unauthorized => None,
                }
            }
            Err(fault) => {
                tracing::debug!(connector = %id, %fault, "{id} shows no sign: {fault}");
                Some(wait)
            }
        }
    }
}

impl Shown {
    /// Takes a run's signs away, also while one is on its way.
    fn end(&mut self, run: RunId) {
        if let Some(task) = self.runs.remove(&run) {
            task.abort();
        }
    }
}
