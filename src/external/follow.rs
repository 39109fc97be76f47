//! Looks at sidecars now and then: how they fare, and what they are.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    External, KIND,
    call::{Mute, Sidecar},
    protocol::{RUNTIME_VERSION, SidecarManifest},
    watch::{Turn, Watch},
};
use crate::{
    connectors::{Context, health::HealthState},
    ingress::routes::{Route, Routes},
    model::ids::ConnectorId,
};

/// The shortest wait after a look, in milliseconds: deliveries that fail together nudge it together.
const PAUSE: Duration = Duration::from_millis(100);

/// A sidecar that is looked at.
struct Followed {
    route: Arc<Route>,
    stop: CancellationToken,
}

/// Looks at the sidecar of every connector, until `stop`.
pub async fn run(external: Arc<External>, routes: Arc<Routes>, stop: CancellationToken) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut followed: HashMap<ConnectorId, Followed> = HashMap::new();
    loop {
        let changed = routes.changed();
        let wanted = routes.of_kind(KIND);
        followed.retain(|id, one| {
            let stays = wanted.iter().any(|route| Arc::ptr_eq(route, &one.route));
            if !stays {
                one.stop.cancel();
            }
            if routes.find(id).is_none() {
                external.fleet.end(id);
                external.metrics.sidecars.forget(&id.name);
            }
            stays
        });
        for route in wanted {
            if let Entry::Vacant(free) = followed.entry(route.rules.connector.clone()) {
                let (stop, watch) = (CancellationToken::new(), external.fleet.begin(&route.rules.connector));
                external.metrics.sidecars.begin(&route.rules.connector.name);
                tasks.spawn(follow(Arc::clone(&external), Arc::clone(&route), watch, stop.clone()));
                free.insert(Followed { route, stop });
            }
        }
        tokio::select! {
            () = changed => {}
            Some(_) = tasks.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    followed.values().for_each(|one| one.stop.cancel());
    while tasks.join_next().await.is_some() {}
}

async fn follow(external: Arc<External>, route: Arc<Route>, watch: Arc<Watch>, stop: CancellationToken) {
    loop {
        let wait = tokio::select! {
            wait = external.look(&route.context, &watch) => wait,
            () = stop.cancelled() => return,
        };
        watch.looks_in(wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = async { tokio::time::sleep(PAUSE).await; watch.nudged().await } => {}
            () = stop.cancelled() => return,
        }
    }
}

impl External {
    /// How long what a sidecar said of itself is believed.
    pub(super) fn manifest_ttl(&self) -> Duration {
        Duration::from_millis(self.bounds.manifest_ttl_ms)
    }

    /// Asks a sidecar what it is, and keeps the answer.
    pub(super) async fn ask_manifest(
        &self,
        sidecar: &Sidecar<'_>,
        context: &Context,
        watch: Option<&Watch>,
    ) -> Result<SidecarManifest, Mute> {
        match sidecar.manifest().await {
            Ok(manifest) => {
                if let Some(watch) = watch {
                    watch.described(manifest.clone());
                }
                Ok(manifest)
            }
            Err(mute) => {
                self.metrics.sidecars.count_manifest_failure(&context.connector.name);
                Err(mute)
            }
        }
    }

    /// Looks once, and says when to look again.
    async fn look(&self, context: &Context, watch: &Watch) -> Duration {
        let (id, interval) = (&context.connector, Duration::from_millis(self.bounds.health_interval_ms));
        let sidecar = match self.sidecar(context) {
            Ok(sidecar) => sidecar,
            Err(fault) => {
                tracing::error!(connector = %id, error = %fault, "the sidecar of {id} cannot be spoken to: {fault}");
                return interval;
            }
        };
        let now_ms = || self.clock.now_ms();
        let (turn, wait) = match sidecar.health().await {
            Ok(report) => {
                let trouble = self.check_manifest(&sidecar, (context, watch), &report.instance_id).await;
                let turn = watch.reported(&report, trouble, now_ms());
                // What is on its way is there soon.
                let settled = watch.wait().is_none();
                (turn, if settled { interval } else { self.retry(1) })
            }
            Err(Mute::Odd(reason)) => (watch.odd(reason, now_ms()), interval),
            Err(Mute::Deaf(reason)) => {
                let (failures, turn) = watch.deaf(reason);
                (turn, self.retry(failures))
            }
        };
        self.metrics.sidecars.set_state(&id.name, watch.health().state.name());
        if let Some(turn) = turn {
            tell(id, &turn);
        }
        wait
    }

    /// What is wrong with the manifest. It is asked for when it is old, and when the sidecar began anew.
    async fn check_manifest(
        &self,
        sidecar: &Sidecar<'_>,
        (context, watch): (&Context, &Watch),
        instance_id: &str,
    ) -> Option<String> {
        let known = watch.manifest(self.manifest_ttl()).filter(|known| known.instance_id == instance_id);
        let manifest = match known {
            Some(manifest) => manifest,
            None => match self.ask_manifest(sidecar, context, Some(watch)).await {
                Ok(manifest) => manifest,
                Err(mute) => return Some(mute.to_string()),
            },
        };
        let version = manifest.protocol_version;
        (version != RUNTIME_VERSION)
            .then(|| format!("its manifest says runtime protocol {version}, this host speaks {RUNTIME_VERSION}"))
    }

    /// The wait after so many looks in a row without an answer.
    fn retry(&self, failures: u32) -> Duration {
        let doubled = self.bounds.health_retry_ms.saturating_mul(1 << failures.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(self.bounds.health_interval_ms))
    }
}

fn tell(id: &ConnectorId, turn: &Turn) {
    let state = turn.to.name();
    let reason = turn.reason.as_deref().unwrap_or("it says that it is well");
    match turn.to {
        HealthState::Ready | HealthState::Starting => {
            tracing::info!(connector = %id, state, "the sidecar of {id} is {state}: {reason}");
        }
        HealthState::Degraded | HealthState::Deaf => {
            tracing::warn!(connector = %id, state, reason, "the sidecar of {id} is {state}: {reason}");
        }
    }
}
