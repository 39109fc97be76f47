//! How sidecars fare, as they were last seen. Shared by whoever looks at them, sends to them, or tells of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified};

use super::{
    back::Back,
    print::Print,
    protocol::{RUNTIME_VERSION, Report, ReportedStatus, SidecarManifest},
};
use crate::{
    connectors::{
        Context,
        health::{Absence, Health, HealthState, Process, ProcessState},
    },
    model::ids::ConnectorId,
    secrets::mask,
};

/// The shortest wait of a delivery for a sidecar that is away.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// The longest wait for one that nobody starts again.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

const STARTING: &str = "sidecar_starting";
const DRAINING: &str = "sidecar_draining";
const DEAF: &str = "sidecar_deaf";
const STOPPED: &str = "sidecar_stopped";
const ELSEWHERE: &str = "sidecar_elsewhere";

/// Why deliveries wait: all there is.
pub(super) const AWAY: [&str; 5] = [STARTING, DRAINING, DEAF, STOPPED, ELSEWHERE];

/// The shortest time between two questions who a sidecar is that events lead to.
const ASKING: Duration = Duration::from_millis(500);

/// The most of what a sidecar says that is kept, in characters.
const WORDS: usize = 500;

/// How one sidecar fares.
pub struct Watch {
    connector: ConnectorId,
    /// What it was started with, where the daemon starts it.
    print: Option<Print>,
    back: Arc<Back>,
    seen: Mutex<Seen>,
    nudge: Notify,
    restart: Notify,
    /// When it was last asked who it is because of an event.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

struct Seen {
    health: Health,
    /// Why deliveries wait.
    waits: Option<&'static str>,
    /// Since when it fares like this.
    since: Instant,
    /// Whether those that had waited were woken.
    woken: bool,
    manifest: Option<(SidecarManifest, Instant)>,
    next_look: Instant,
    /// The state that streams were told last.
    told: Option<HealthState>,
}

/// A state that is not the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) from: HealthState,
    pub(super) to: HealthState,
    pub(super) reason: Option<String>,
    /// Whether it is another one than streams were told last: a child that ends, begins anew and is as it was is none.
    pub(super) news: bool,
}

impl Watch {
    /// Nobody has looked yet. Deliveries wait where the daemon starts it, with what this is the print of.
    fn new(connector: ConnectorId, print: Option<Print>, back: Arc<Back>) -> Self {
        let health = Health {
            state: HealthState::Starting,
            reason: print.map(|_| "it was not started yet".to_owned()),
            answered_at_ms: None,
            failures: 0,
            instance_id: None,
            process: None,
        };
        let (waits, now) = (print.map(|_| STARTING), Instant::now());
        let seen = Seen { health, waits, since: now, woken: false, manifest: None, next_look: now, told: None };
        Self {
            connector,
            print,
            back,
            seen: Mutex::new(seen),
            nudge: Notify::new(),
            restart: Notify::new(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// How it fares now.
    pub fn health(&self) -> Health {
        self.lock().health.clone()
    }

    /// Whether deliveries can go.
    pub(super) fn is_there(&self) -> bool {
        self.lock().waits.is_none()
    }

    /// Why deliveries have to wait: until the next look, and for `least` at least. Those for one that nobody starts again ask
    /// less and less often.
    fn absence(&self, least: Duration) -> Option<Absence> {
        let seen = self.lock();
        let waits = seen.waits?;
        let process = seen.health.process.as_ref().map(|process| process.state);
        let until_next = seen.next_look.saturating_duration_since(Instant::now());
        let (code, wait) = match process {
            Some(ProcessState::Stopped) => (STOPPED, seen.since.elapsed().min(LONGEST_WAIT)),
            _ => (waits, until_next),
        };
        let reason = seen.health.reason.clone().unwrap_or_else(|| "the sidecar is on its way".to_owned());
        Some(absence(code, reason, wait.max(least)))
    }

    /// What the sidecar said of itself, where that is not too long ago.
    pub(super) fn manifest(&self, ttl: Duration) -> Option<SidecarManifest> {
        let seen = self.lock();
        seen.manifest.as_ref().filter(|(_, at)| at.elapsed() < ttl).map(|(manifest, _)| manifest.clone())
    }

    /// The sidecar said what it is.
    pub(super) fn described(&self, manifest: SidecarManifest) {
        self.lock().manifest = Some((manifest, Instant::now()));
    }

    /// The sidecar said how it fares; `trouble` is what is wrong with it beside that.
    pub(super) fn reported(&self, report: &Report, trouble: Option<String>, now_ms: i64) -> Option<Turn> {
        let said = report.detail.clone().filter(|detail| !detail.trim().is_empty());
        let (state, waits, reason) = match report.status {
            _ if report.protocol_version != RUNTIME_VERSION => {
                let version = report.protocol_version;
                let reason = format!("it speaks runtime protocol {version}, this host speaks {RUNTIME_VERSION}");
                (HealthState::Degraded, None, Some(reason))
            }
            ReportedStatus::Ready if trouble.is_some() => (HealthState::Degraded, None, trouble),
            ReportedStatus::Ready => (HealthState::Ready, None, None),
            ReportedStatus::Degraded => {
                (HealthState::Degraded, None, said.or_else(|| Some("it says no more than that".to_owned())))
            }
            ReportedStatus::Starting => (HealthState::Starting, Some(STARTING), said),
            ReportedStatus::Draining => {
                let reason = said.map_or_else(|| "it is draining".to_owned(), |said| format!("it is draining: {said}"));
                (HealthState::Degraded, Some(DRAINING), Some(reason))
            }
        };
        let instance_id = Some(report.instance_id.clone()).filter(|id| !id.is_empty());
        let answered_at_ms = Some(now_ms);
        self.turn(Health { state, reason, answered_at_ms, failures: 0, instance_id, process: None }, waits)
    }

    /// The sidecar answered, and not as the protocol has it.
    pub(super) fn odd(&self, reason: String, now_ms: i64) -> Option<Turn> {
        let instance_id = self.lock().health.instance_id.clone();
        let state = HealthState::Degraded;
        let (reason, answered_at_ms) = (Some(reason), Some(now_ms));
        self.turn(Health { state, reason, answered_at_ms, failures: 0, instance_id, process: None }, None)
    }

    /// The sidecar did not answer. Gives how often in a row, too.
    pub(super) fn deaf(&self, reason: String) -> (u32, Option<Turn>) {
        let former = self.health();
        let failures = former.failures.saturating_add(1);
        let health = Health { state: HealthState::Deaf, reason: Some(reason), failures, ..former };
        (failures, self.turn(health, Some(DEAF)))
    }

    /// It is on its way, and what was known of a former life of its own is forgotten.
    pub(super) fn begins(&self, reason: String) {
        self.is_away(reason, STARTING);
    }

    /// Another daemon has it. Whatever that one tells, this one tells anew when it has it again.
    pub(super) fn is_elsewhere(&self, reason: String) {
        self.is_away(reason, ELSEWHERE);
        self.lock().told = None;
    }

    /// What is to be shown of the program that the daemon started.
    pub(super) fn process(&self, change: impl FnOnce(&mut Process)) {
        change(self.lock().health.process.get_or_insert_default());
    }

    /// An operator wants it started anew. Where nobody waits for such an order it is on its way already.
    pub(super) fn order_restart(&self) {
        self.restart.notify_waiters();
    }

    /// Resolves when an operator wants it started anew, from this call on.
    pub(super) fn restart_ordered(&self) -> Notified<'_> {
        self.restart.notified()
    }

    /// Asks with `ask` who the sidecar is, unless that was asked since `came`. Whoever comes together hears one answer.
    pub(super) async fn ask_since(&self, came: Instant, ask: impl Future<Output = ()>) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at >= came) {
            return;
        }
        if let Some(at) = *asked {
            tokio::time::sleep(ASKING.saturating_sub(at.elapsed())).await;
        }
        *asked = Some(Instant::now());
        ask.await;
    }

    /// When the next look will be.
    pub(super) fn looks_in(&self, wait: Duration) {
        self.lock().next_look = Instant::now() + wait;
    }

    /// A delivery found out what the next look shall see.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Resolves when somebody was nudged.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    fn is_away(&self, reason: String, waits: &'static str) {
        let mut seen = self.lock();
        seen.manifest = None;
        let (state, answered_at_ms) = (HealthState::Starting, seen.health.answered_at_ms);
        let reason = Some(short(&reason));
        let health = Health { state, reason, answered_at_ms, failures: 0, instance_id: None, process: None };
        seen.put(health, Some(waits));
    }

    fn turn(&self, health: Health, waits: Option<&'static str>) -> Option<Turn> {
        let (reason, instance_id) = (health.reason.as_deref().map(short), health.instance_id.as_deref().map(short));
        let to = health.state;
        let mut seen = self.lock();
        let from = seen.put(Health { reason: reason.clone(), instance_id, ..health }, waits);
        if waits.is_none() && !std::mem::replace(&mut seen.woken, true) {
            self.back.note(self.connector.clone());
        }
        let news = seen.told.replace(to) != Some(to);
        (from != to).then_some(Turn { from, to, reason, news })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// How it fares now; what is known of its program stays. Gives the state before.
    fn put(&mut self, health: Health, waits: Option<&'static str>) -> HealthState {
        let former = self.health.state;
        self.health = Health { process: self.health.process.take(), ..health };
        (self.waits, self.since) = (waits, Instant::now());
        self.woken &= waits.is_none();
        former
    }
}

/// What a sidecar says, as far as it is shown.
fn short(words: &str) -> String {
    mask::cut(words, WORDS)
}

fn absence(code: &'static str, reason: String, wait: Duration) -> Absence {
    let wait_ms = i64::try_from(wait.max(SHORTEST_WAIT).as_millis()).unwrap_or(i64::MAX);
    Absence { code, reason, wait_ms, elsewhere: code == ELSEWHERE }
}

/// The sidecars that are looked at, by their connectors.
#[derive(Default)]
pub struct Fleet {
    watches: Mutex<HashMap<ConnectorId, Arc<Watch>>>,
    /// Those that are there again.
    pub(super) back: Arc<Back>,
}

impl Fleet {
    /// One of them.
    pub fn find(&self, connector: &ConnectorId) -> Option<Arc<Watch>> {
        self.lock().get(connector).cloned()
    }

    /// Why nothing can go to the sidecar of a connector now. One that the daemon starts must have been seen ready in this life,
    /// and have been started with what the connector is now: another program would be shown the token, and a former one does
    /// not know it.
    pub(super) fn absence(&self, context: &Context, least: Duration) -> Option<Absence> {
        self.absence_of(&context.connector, Print::of(context), least)
    }

    fn absence_of(&self, connector: &ConnectorId, print: Option<Print>, least: Duration) -> Option<Absence> {
        match self.find(connector).filter(|watch| watch.print == print) {
            Some(watch) => watch.absence(least),
            None => print.map(|_| {
                let reason = "it is not started yet with the settings and secrets that it has now";
                absence(STARTING, reason.to_owned(), least)
            }),
        }
    }

    /// The connector of another sidecar that the daemon started and that says it is of this life.
    pub(super) fn other_of(&self, instance_id: &str, connector: &ConnectorId) -> Option<ConnectorId> {
        let fleet = self.lock();
        let mut others = fleet.iter().filter(|(id, _)| *id != connector);
        let other = others.find(|(_, watch)| {
            let health = watch.health();
            health.process.is_some() && health.instance_id.as_deref() == Some(instance_id)
        });
        other.map(|(id, _)| id.clone())
    }

    /// A new one, in place of what was seen of a former one.
    pub(super) fn begin(&self, connector: &ConnectorId, print: Option<Print>) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(connector.clone(), print, Arc::clone(&self.back)));
        self.lock().insert(connector.clone(), Arc::clone(&watch));
        watch
    }

    /// Forgets one that is gone.
    pub(super) fn end(&self, connector: &ConnectorId) {
        self.lock().remove(connector);
        self.back.note(connector.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectorId, Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
