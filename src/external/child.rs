//! Sidecars that the daemon starts (contract section 4.7): each has a keeper, which starts it, looks at it, and starts it
//! again when it ends or does not answer, within bounds.
//!
//! | file | holds |
//! |---|---|
//! | `launch.rs` | the command and its environment |
//! | `life.rs` | one life, from its start to the end of all that it has started |
//! | `look.rs` | whether it is as a child has to be |
//! | `output.rs` | what it writes, in the log |
//! | `budget.rs` | how soon and how often it is started again |

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{External, base_url, print::Print, settings::Settings, watch::Watch};
use crate::{
    config::sidecars::ChildSettings,
    connectors::health::{Process, ProcessState},
    ingress::routes::Route,
    model::{happening::connector_process, ids::ConnectorId},
    secrets::mask,
};

mod budget;
mod launch;
mod life;
mod look;
mod output;

use budget::Budget;
use launch::Launch;
use life::Life;
use output::Share;

/// How long a look at a port may take that should be free.
const PORT: Duration = Duration::from_secs(1);

/// Why it is not started.
const ELSEWHERE: &str = "another daemon on the same store runs it";

/// The most that is kept of why one ended, in characters.
const REASON: usize = 400;

/// Keeps one sidecar running.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) external: Arc<External>,
    pub(super) route: Arc<Route>,
    pub(super) watch: Arc<Watch>,
    /// Where children reach the daemon.
    pub(super) daemon: Arc<str>,
    /// From then on it is not started any more: the daemon ends what is under way.
    pub(super) drain: CancellationToken,
    /// Ends it in order: the daemon stops, or the connector is another one now.
    pub(super) orders: CancellationToken,
    /// Ends it also when another daemon has the duty to run it.
    pub(super) stop: CancellationToken,
}

/// How a life was over.
enum Over {
    /// The daemon stops, the connector is another one now, or another daemon runs it.
    Stopped,
    /// An operator wants a new one.
    Ordered,
    /// It went wrong like this.
    Failed(String),
}

impl Keeper {
    /// Keeps it whenever no other daemon on the same store does, until it shall stop.
    pub(super) async fn keep_on_duty(self) {
        let name = format!("child:{}", self.id());
        let work = |_, stop| Self { stop, ..self.clone() }.keep();
        self.external.duties.perform(&name, &self.orders, || self.elsewhere(), work).await;
    }

    fn elsewhere(&self) {
        self.show(|process| {
            let (restarts, last_end) = (process.restarts, process.last_end.take());
            *process = Process { state: ProcessState::Elsewhere, restarts, last_end, ..Process::default() };
        });
        self.watch.is_elsewhere(ELSEWHERE.to_owned());
        self.external.show_state(self.id(), &self.watch);
    }

    /// Keeps it until it shall stop. Nothing of it is left then.
    async fn keep(self) {
        let settings: Settings = match serde_json::from_str(&self.route.context.settings) {
            Ok(settings) => settings,
            Err(error) => {
                return tracing::error!(%error, connector = %self.id(), "its settings cannot be read: {error}");
            }
        };
        let share = Share::new(&self.id().to_string(), self.bounds());
        let mut budget = Budget::default();
        let mut first = true;
        loop {
            if self.drain.is_cancelled() {
                return self.stop.cancelled().await;
            }
            let over = match self.port_taken(&settings.base_url).await {
                Some(reason) => Over::Failed(reason),
                None if !budget.start(self.bounds(), Instant::now()) => {
                    if !self.stay_down().await {
                        return;
                    }
                    budget = Budget::default();
                    continue;
                }
                None => {
                    if !std::mem::take(&mut first) {
                        self.external.metrics.sidecars.count_restart(&self.id().name);
                        self.show(|process| process.restarts = process.restarts.saturating_add(1));
                    }
                    self.live(&settings, &share, &mut budget).await
                }
            };
            match over {
                Over::Stopped => return,
                Over::Ordered => budget = Budget::default(),
                Over::Failed(reason) => {
                    let reason = mask::cut(&reason, REASON);
                    if !self.pause(&reason, &mut budget).await {
                        return;
                    }
                }
            }
        }
    }

    fn id(&self) -> &ConnectorId {
        &self.route.rules.connector
    }

    fn bounds(&self) -> &ChildSettings {
        &self.external.bounds.child
    }

    fn show(&self, change: impl FnOnce(&mut Process)) {
        self.watch.process(change);
    }

    /// Why the child would not be the one that answers. A stranger at its address would be shown its token.
    async fn port_taken(&self, base: &str) -> Option<String> {
        let connected = timeout(PORT, TcpStream::connect(&*base_url::child_addresses(base))).await;
        matches!(connected, Ok(Ok(_)))
            .then(|| format!("something else answers at {base}: stop it, or give the connector another port"))
    }

    /// One life, from its start to its end.
    async fn live(&self, settings: &Settings, share: &Share, budget: &mut Budget) -> Over {
        let context = &self.route.context;
        let (Some(child), Some(print)) = (&settings.child_process, Print::of(context)) else { return Over::Stopped };
        let broker = &self.external.broker;
        let granted = broker.grant(self.id(), print, &child.credential_slots);
        let launch = Launch {
            context,
            child,
            base_url: &settings.base_url,
            daemon: &self.daemon,
            granted: &granted,
            grace_ms: self.bounds().stop_grace_ms,
        };
        self.begins(granted.id.clone());
        let mut life = match Life::begin(&launch, share.clone()).await {
            Ok(life) => life,
            Err(reason) => {
                broker.revoke(self.id(), "ended");
                return Over::Failed(reason);
            }
        };
        drop(granted);
        let (pid, ordered) = (life.pid, self.watch.restart_ordered());
        self.show(|process| process.pid = Some(pid));
        tracing::info!(connector = %self.id(), pid, "the sidecar of {} was started as process {pid}", self.id());
        tokio::select! {
            () = self.tell("starting", None) => {}
            () = self.stop.cancelled() => {}
        }
        let over = tokio::select! {
            biased;
            () = self.stop.cancelled() => Over::Stopped,
            () = ordered => Over::Ordered,
            reason = life.ended() => Over::Failed(reason),
            reason = self.attend(budget) => Over::Failed(reason),
        };
        let why = match &over {
            Over::Stopped => "stopped",
            Over::Ordered => "restarted",
            Over::Failed(_) => "ended",
        };
        broker.revoke(self.id(), why);
        self.show(|process| (process.state, process.grant_id) = (ProcessState::Ending, None));
        self.away("it ends");
        life.end(self.lost()).await;
        self.show(|process| process.pid = None);
        over
    }

    /// Resolves when another daemon may be starting it already.
    async fn lost(&self) {
        self.stop.cancelled().await;
        if self.orders.is_cancelled() {
            std::future::pending().await
        }
    }

    fn begins(&self, grant: String) {
        let started_at_ms = Some(self.external.clock.now_ms());
        self.show(|process| {
            process.state = ProcessState::Starting;
            (process.started_at_ms, process.next_start_at_ms) = (started_at_ms, None);
            process.grant_id = Some(grant);
        });
        self.away("it was just started");
    }

    /// It is on its way.
    fn away(&self, reason: &str) {
        self.watch.begins(reason.to_owned());
        self.external.show_state(self.id(), &self.watch);
    }

    /// It is down. The log has said so.
    async fn down(&self, reason: &str) {
        let (_, turn) = self.watch.deaf(reason.to_owned());
        self.external.show_state(self.id(), &self.watch);
        if let Some(turn) = turn {
            self.external.tell_turn(self.id(), &turn).await;
        }
    }

    /// Waits after a failure. Says whether to go on.
    async fn pause(&self, reason: &str, budget: &mut Budget) -> bool {
        let (wait, ordered) = (budget.wait(self.bounds(), rand::random()), self.watch.restart_ordered());
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let next = self.external.clock.now_ms().saturating_add(wait_ms);
        tracing::warn!(connector = %self.id(), reason, wait_ms, "the sidecar of {} is down: {reason}", self.id());
        self.show(|process| {
            process.state = ProcessState::Waiting;
            process.next_start_at_ms = Some(next);
            process.last_end = Some(reason.to_owned());
        });
        self.down(reason).await;
        self.watch.looks_in(wait);
        self.tell("waiting", Some(reason)).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = ordered => true,
            () = self.drain.cancelled() => true,
            () = self.stop.cancelled() => false,
        }
    }

    /// It was started too often: waits for an operator. Says whether to go on.
    async fn stay_down(&self) -> bool {
        let ordered = self.watch.restart_ordered();
        let ChildSettings { starts, window_ms, .. } = self.bounds();
        let last = self.watch.health().process.and_then(|process| process.last_end).unwrap_or_default();
        let reason = format!(
            "it was started {starts} times within {window_ms} ms and is not started again by itself: mend it, then \
             `kheishd connectors restart external {}`. Last: {last}",
            self.id().name
        );
        tracing::error!(connector = %self.id(), reason, "the sidecar of {} stays down: {reason}", self.id());
        self.show(|process| (process.state, process.next_start_at_ms) = (ProcessState::Stopped, None));
        self.down(&reason).await;
        self.tell("stopped", Some(&reason)).await;
        tokio::select! {
            () = ordered => true,
            () = self.stop.cancelled() => false,
        }
    }

    /// Tells streams of a state that lasts.
    async fn tell(&self, state: &str, reason: Option<&str>) {
        self.external.tell(connector_process(&self.id().to_string(), state, reason)).await;
    }
}
