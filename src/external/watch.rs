//! How sidecars fare, as they were last seen. Shared by whoever looks at them, sends to them, or tells of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified};

use super::protocol::{RUNTIME_VERSION, Report, ReportedStatus, SidecarManifest};
use crate::{
    connectors::health::{Health, HealthState, Process},
    model::ids::ConnectorId,
};

/// The shortest wait of a delivery that is put off, in milliseconds.
const SHORTEST_WAIT_MS: u64 = 200;

/// The shortest time between two questions who a sidecar is that events lead to.
const ASKING: Duration = Duration::from_millis(500);

/// The most of what a sidecar says that is kept, in characters.
const WORDS: usize = 500;

/// How one sidecar fares.
pub struct Watch {
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
    manifest: Option<(SidecarManifest, Instant)>,
    next_look: Instant,
}

/// Why a delivery waits, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) code: &'static str,
    pub(super) reason: String,
    pub(super) wait_ms: i64,
}

/// A state that is not the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) from: HealthState,
    pub(super) to: HealthState,
    pub(super) reason: Option<String>,
}

impl Default for Watch {
    /// Nobody has looked yet: nothing waits.
    fn default() -> Self {
        let health = Health {
            state: HealthState::Starting,
            reason: None,
            answered_at_ms: None,
            failures: 0,
            instance_id: None,
            process: None,
        };
        let seen = Seen { health, waits: None, manifest: None, next_look: Instant::now() };
        Self {
            seen: Mutex::new(seen),
            nudge: Notify::new(),
            restart: Notify::new(),
            asked: tokio::sync::Mutex::default(),
        }
    }
}

impl Watch {
    /// How it fares now.
    pub fn health(&self) -> Health {
        self.lock().health.clone()
    }

    /// Why a delivery has to wait, and until when.
    pub(super) fn wait(&self) -> Option<Wait> {
        let seen = self.lock();
        let code = seen.waits?;
        let until_next = seen.next_look.saturating_duration_since(Instant::now());
        let wait_ms = u64::try_from(until_next.as_millis()).unwrap_or(u64::MAX).max(SHORTEST_WAIT_MS);
        let reason = seen.health.reason.clone().unwrap_or_else(|| "the sidecar is on its way".to_owned());
        Some(Wait { code, reason, wait_ms: i64::try_from(wait_ms).unwrap_or(i64::MAX) })
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
            ReportedStatus::Starting => (HealthState::Starting, Some("sidecar_starting"), said),
            ReportedStatus::Draining => {
                let reason = said.map_or_else(|| "it is draining".to_owned(), |said| format!("it is draining: {said}"));
                (HealthState::Degraded, Some("sidecar_draining"), Some(reason))
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
        (failures, self.turn(health, Some("sidecar_deaf")))
    }

    /// It is on its way, and what was known of a former life of its own is forgotten.
    pub(super) fn begins(&self, reason: Option<String>) -> Option<Turn> {
        self.lock().manifest = None;
        let (state, answered_at_ms) = (HealthState::Starting, self.health().answered_at_ms);
        let health = Health { state, reason, answered_at_ms, failures: 0, instance_id: None, process: None };
        self.turn(health, Some("sidecar_starting"))
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

    fn turn(&self, mut health: Health, waits: Option<&'static str>) -> Option<Turn> {
        for words in [&mut health.reason, &mut health.instance_id].into_iter().flatten() {
            if let Some((end, _)) = words.char_indices().nth(WORDS) {
                words.truncate(end);
            }
        }
        let mut seen = self.lock();
        let (from, to, reason) = (seen.health.state, health.state, health.reason.clone());
        let news = from != to;
        seen.health = Health { process: seen.health.process.take(), ..health };
        seen.waits = waits;
        news.then_some(Turn { from, to, reason })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sidecars that are looked at, by their connectors.
#[derive(Default)]
pub struct Fleet(Mutex<HashMap<ConnectorId, Arc<Watch>>>);

impl Fleet {
    /// One of them.
    pub fn find(&self, connector: &ConnectorId) -> Option<Arc<Watch>> {
        self.lock().get(connector).cloned()
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
    pub(super) fn begin(&self, connector: &ConnectorId) -> Arc<Watch> {
        let watch = Arc::new(Watch::default());
        self.lock().insert(connector.clone(), Arc::clone(&watch));
        watch
    }

    /// Forgets one that is gone.
    pub(super) fn end(&self, connector: &ConnectorId) {
        self.lock().remove(connector);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectorId, Arc<Watch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: ReportedStatus, detail: Option<&str>) -> Report {
        Report { protocol_version: 1, instance_id: "i".to_owned(), status, detail: detail.map(str::to_owned) }
    }

    fn state(watch: &Watch) -> (HealthState, Option<String>) {
        let health = watch.health();
        (health.state, health.reason)
    }

    #[test]
    fn nothing_waits_until_somebody_has_looked() {
        let watch = Watch::default();
        assert_eq!((state(&watch), watch.wait()), ((HealthState::Starting, None), None));
    }

    #[test]
    fn deliveries_wait_for_those_that_are_deaf_or_not_ready() {
        let watch = Watch::default();
        assert_eq!(watch.deaf("refused".to_owned()).0, 1);
        assert_eq!(watch.deaf("refused".to_owned()), (2, None), "it is no news");
        assert_eq!(watch.wait().unwrap().code, "sidecar_deaf");
        assert_eq!(watch.health().failures, 2);
        for (status, waits) in [
            (ReportedStatus::Starting, Some("sidecar_starting")),
            (ReportedStatus::Draining, Some("sidecar_draining")),
            (ReportedStatus::Degraded, None),
            (ReportedStatus::Ready, None),
        ] {
            watch.reported(&report(status, None), None, 5);
            assert_eq!(watch.wait().map(|wait| wait.code), waits, "{status:?}");
        }
        let health = watch.health();
        assert_eq!((health.failures, health.answered_at_ms, health.instance_id.as_deref()), (0, Some(5), Some("i")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let watch = Watch::default();
        watch.reported(&report(ReportedStatus::Degraded, Some("no gateway")), None, 1);
        assert_eq!(state(&watch), (HealthState::Degraded, Some("no gateway".to_owned())));
        watch.reported(&report(ReportedStatus::Ready, None), Some("no manifest".to_owned()), 1);
        assert_eq!(state(&watch), (HealthState::Degraded, Some("no manifest".to_owned())));
        watch.odd("404".to_owned(), 1);
        assert_eq!(state(&watch), (HealthState::Degraded, Some("404".to_owned())));
        let newer = Report { protocol_version: 2, ..report(ReportedStatus::Ready, None) };
        watch.reported(&newer, None, 1);
        assert!(state(&watch).1.unwrap().contains("runtime protocol 2"));
        let turn = watch.reported(&report(ReportedStatus::Ready, Some("well")), None, 1).unwrap();
        assert_eq!((turn.from, turn.to, turn.reason), (HealthState::Degraded, HealthState::Ready, None));
    }

    #[test]
    fn a_sidecar_s_words_are_kept_as_far_as_they_go() {
        let watch = Watch::default();
        watch.odd("ä".repeat(2 * WORDS), 1);
        assert_eq!(state(&watch).1, Some("ä".repeat(WORDS)));
    }

    #[test]
    fn a_manifest_is_believed_for_a_while() {
        let watch = Watch::default();
        watch.described(serde_json::from_str("{}").unwrap());
        assert!(watch.manifest(Duration::from_secs(300)).is_some());
        assert!(watch.manifest(Duration::ZERO).is_none());
    }
}
