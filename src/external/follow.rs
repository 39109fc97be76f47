//! Looks at sidecars now and then: how they fare, and what they are. Those that the daemon starts are looked at by who keeps them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    External, KIND, broker,
    call::{Mute, Sidecar},
    child::Keeper,
    crew::Crew,
    print::Print,
    protocol::{RUNTIME_VERSION, SidecarManifest},
    watch::{Turn, Watch},
};
use crate::{
    connectors::{Context, health::HealthState},
    ingress::routes::{Route, Routes},
    model::{happening::connector_health, ids::ConnectorId},
};

/// The shortest wait after a look, in milliseconds: deliveries that fail together nudge it together.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A sidecar that is looked at.
struct Followed {
    route: Arc<Route>,
    /// What it was started with, where the daemon starts it.
    print: Option<Print>,
    stop: CancellationToken,
}

impl Followed {
    /// Whether a sidecar goes on as it is although its connector has a new route.
    fn stays(&self, route: &Arc<Route>) -> bool {
        Arc::ptr_eq(route, &self.route) || self.print.is_some() && self.print == Print::of(&route.context)
    }
}

/// Looks at the sidecar of every connector, and keeps those running that the daemon starts, until `stop`. `daemon` is where
/// these reach the daemon. From `drain` on none is started any more.
pub async fn run(
    external: Arc<External>,
    routes: Arc<Routes>,
    daemon: Arc<str>,
    (drain, stop): (CancellationToken, CancellationToken),
) {
    let mut crew = Crew::default();
    let mut followed: HashMap<ConnectorId, Followed> = HashMap::new();
    loop {
        let changed = routes.changed();
        let wanted = routes.of_kind(KIND);
        for (id, one) in &mut followed {
            match wanted.iter().find(|route| route.rules.connector == *id) {
                Some(route) if one.stays(route) => one.route = Arc::clone(route),
                next => {
                    if let Some(next) = next {
                        external.broker.revoke(id, broker::why(&one.route.context, &next.context));
                    }
                    one.stop.cancel();
                }
            }
        }
        for route in wanted {
            // A former one ends first: two children would want the same port.
            if let Entry::Vacant(free) = followed.entry(route.rules.connector.clone()) {
                let (stop, print) = (CancellationToken::new(), Print::of(&route.context));
                let id = route.rules.connector.clone();
                let watch = external.fleet.begin(&id, print);
                external.metrics.sidecars.begin(&id.name);
                let keeper = Keeper {
                    external: Arc::clone(&external),
                    route: Arc::clone(&route),
                    watch,
                    daemon: Arc::clone(&daemon),
                    drain: drain.clone(),
                    orders: stop.clone(),
                    stop: stop.clone(),
                };
                crew.spawn(id, async move {
                    if print.is_some() { keeper.keep_on_duty().await } else { follow(keeper).await }
                });
                free.insert(Followed { route, print, stop });
            }
        }
        tokio::select! {
            () = changed => {}
            Some(id) = crew.next_ended() => {
                followed.remove(&id);
                if routes.find(&id).is_none() {
                    external.fleet.end(&id);
                    external.metrics.sidecars.forget(&id.name);
                }
            }
            () = stop.cancelled() => break,
        }
    }
    followed.values().for_each(|one| one.stop.cancel());
    while crew.next_ended().await.is_some() {}
}

async fn follow(Keeper { external, route, watch, stop, .. }: Keeper) {
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

    /// Asks a child anew what it is, and has it looked at: it may have begun another life.
    pub(super) async fn who_is_it(&self, context: &Context, watch: &Watch) {
        let Ok(sidecar) = self.sidecar(context) else { return };
        if let Err(mute) = self.ask_manifest(&sidecar, context, Some(watch)).await {
            let id = &context.connector;
            tracing::info!(connector = %id, "an event of {id} is of an unknown life, and the sidecar does not say its own: {mute}");
        }
        watch.nudge();
    }

    /// Looks once, and says when to look again.
    async fn look(&self, context: &Context, watch: &Watch) -> Duration {
        let (id, interval) = (&context.connector, self.interval());
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
                let settled = watch.is_there();
                (turn, if settled { interval } else { self.retry(1) })
            }
            Err(Mute::Odd(reason)) => (watch.odd(reason, now_ms()), interval),
            Err(Mute::Deaf(reason)) => {
                let (failures, turn) = watch.deaf(reason);
                (turn, self.retry(failures))
            }
        };
        self.show_state(id, watch);
        if let Some(turn) = turn {
            self.noted(id, &turn).await;
        }
        wait
    }

    /// What the metrics show.
    pub(super) fn show_state(&self, id: &ConnectorId, watch: &Watch) {
        self.metrics.sidecars.set_state(&id.name, watch.health().state.name());
    }

    /// What is logged of a new state, and what streams are told.
    pub(super) async fn noted(&self, id: &ConnectorId, turn: &Turn) {
        log(id, turn);
        self.tell_turn(id, turn).await;
    }

    /// What streams are told of a new state.
    pub(super) async fn tell_turn(&self, id: &ConnectorId, turn: &Turn) {
        if turn.news {
            self.tell(connector_health(&id.to_string(), turn.to.name(), turn.reason.as_deref())).await;
        }
    }

    /// What is wrong with the manifest. It is asked for when it is old, and when the sidecar began anew.
    pub(super) async fn check_manifest(
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

    /// The wait after a look that found nothing wrong.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.bounds.health_interval_ms)
    }

    /// The wait after so many looks in a row without an answer.
    pub(super) fn retry(&self, failures: u32) -> Duration {
        let doubled = self.bounds.health_retry_ms.saturating_mul(1 << failures.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(self.bounds.health_interval_ms))
    }
}

fn log(id: &ConnectorId, turn: &Turn) {
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
