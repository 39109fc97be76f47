//! The loop that sends: leases lanes as workers are free, one delivery at a time in each.

mod look_up;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    BreakerSettings, DeliverySettings,
    absent::Absent,
    backoff::{self},
    connector,
    destinations::Destinations,
    http::HttpTarget,
    pace::Pacer,
    pause::{self, Change, Lock, Word},
    policies::Policies,
    sent::{Sent, dead},
    settle::{Settle, Settled},
    share::{Calls, Holding, Holdings, Shares},
    take::{self, Reclaim, Reclaimed, Take},
    targets,
};
use crate::{
    assets::links::Links,
    clock::Clock,
    connectors::Effect,
    egress::Egress,
    metrics::label::AttemptClass,
    model::{
        delivery::{Delivery, DeliveryStatus, Receipt},
        ids::ConnectorId,
    },
    places::{Place, Places},
    secrets::mask::mask,
    store::{Store, StoreError, deliveries::Settlement},
    telemetry::trace,
};

/// What lease owners of dispatchers begin with.
const FAMILY: &str = "dispatcher:";

/// The ways out.
#[derive(Clone)]
pub struct Ways {
    /// To URLs.
    pub egress: Arc<Egress>,
    /// Through connectors.
    pub destinations: Arc<dyn Destinations>,
    /// To files, for targets that fetch them.
    pub links: Arc<Links>,
    /// How much plugins take at once.
    pub calls: Calls,
}

/// Sends deliveries until it is told to stop.
pub struct Dispatcher {
    store: Store,
    ways: Ways,
    clock: Clock,
    settings: Arc<DeliverySettings>,
    owner: String,
    held: Holdings,
    pacer: Arc<Pacer>,
    absent: Absent,
}

/// A walk from owner to owner, in one or more steps.
#[derive(Default)]
struct Walk {
    /// Where it goes on; none is at its beginning.
    after: Option<String>,
    /// Whether something was taken on the way.
    took: bool,
}

impl Dispatcher {
    /// A dispatcher of the process `instance`.
    pub fn new(store: Store, ways: Ways, clock: Clock, settings: DeliverySettings, instance: &str) -> Arc<Self> {
        let pacer = Pacer::new(Arc::clone(&ways.destinations), settings.pace_percent, settings.pace_places);
        let (owner, held) = (format!("{FAMILY}{instance}"), Holdings::default());
        let absent = Absent::new(Arc::clone(&ways.destinations), settings.connectors.give_up_after_ms);
        Arc::new(Self { store, ways, clock, settings: Arc::new(settings), owner, held, pacer, absent })
    }

    /// Runs until `stop`; then lets what is under way end. What a former process was sending is taken up first.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        let former = Some((FAMILY.to_owned(), self.owner.clone()));
        self.reclaim(former).await?;
        let sweep_interval = Duration::from_millis(self.settings.poll_interval_ms);
        let mut next_sweep = Instant::now() + sweep_interval;
        let places = Places::new(self.settings.workers);
        let mut walk = Walk::default();
        while !stop.is_cancelled() {
            let woken = self.store.wakes().deliveries.notified();
            tokio::pin!(woken);
            // Registered before looking, so that a wake-up in between is not lost.
            woken.as_mut().enable();
            self.pacer.passed(self.clock.now_ms());
            if !self.send_some(&places, &mut walk).await? {
                tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(next_sweep.min(self.next_turn(next_sweep))) => {}
                    () = stop.cancelled() => {}
                }
            }
            if Instant::now() >= next_sweep {
                self.reclaim(None).await?;
                next_sweep = Instant::now() + sweep_interval;
            }
        }
        places.emptied().await;
        Ok(())
    }

    /// When a lane is ready that was put off because of a rate; `otherwise` when there is none.
    fn next_turn(&self, otherwise: Instant) -> Instant {
        let wait_ms = self.pacer.due_ms().map(|due_ms| u64::try_from(due_ms - self.clock.now_ms()).unwrap_or(0));
        wait_ms.map_or(otherwise, |wait_ms| Instant::now() + Duration::from_millis(wait_ms))
    }

    /// Gives back lanes that nobody holds any more, all of them.
    async fn reclaim(&self, former: Option<(String, String)>) -> Result<(), StoreError> {
        loop {
            let policies = self.policies();
            let reclaim = Reclaim { now_ms: self.clock.now_ms(), former: former.clone(), policies };
            let Reclaimed { lanes, unknown } = self.store.write(reclaim).await?;
            self.store.metrics().delivery_unknown.inc_by(u64::try_from(unknown).unwrap_or(u64::MAX));
            if lanes > 0 {
                tracing::warn!(lanes, "{lanes} lanes were held by nobody; what they were sending is unknown");
            }
            if lanes < take::RECLAIM_LIMIT {
                return Ok(());
            }
        }
    }

    /// Leases as many lanes as there are free workers and owners that may have them. False when there is nothing more to send
    /// until a lane is ready or an owner's worker is free.
    async fn send_some(self: &Arc<Self>, places: &Places, walk: &mut Walk) -> Result<bool, StoreError> {
        let mut free = places.take_free().await;
        loop {
            let take = Take {
                owner: self.owner.clone(),
                limit: i64::try_from(free.len()).unwrap_or(i64::MAX),
                lease_ms: self.settings.lease_ms,
                now_ms: self.clock.now_ms(),
                shares: self.shares(),
                after: walk.after.take(),
                pacer: Arc::clone(&self.pacer),
                absent: self.absent.clone(),
            };
            let taken = self.store.write(take).await?;
            let count = taken.parts.len().min(free.len());
            let took = count > 0 || !taken.put_off.is_empty() || taken.waiting > 0;
            for (owner, wait_ms) in &taken.put_off {
                let plugin = owner.split_once('/').map_or(owner.as_str(), |(kind, _)| kind);
                self.store.metrics().count_paced(plugin, *wait_ms);
            }
            for ((delivery, owner), place) in taken.parts.into_iter().zip(free.drain(..count)) {
                self.begin(delivery, self.held.begin(owner), (places, place));
            }
            walk.after = taken.after;
            let ended = walk.after.is_none();
            // What got ready behind the walk is found by the next one, so the last one takes nothing.
            let again = took || walk.took;
            walk.took = again && !ended;
            if took || ended {
                return Ok(again);
            }
        }
    }

    fn shares(&self) -> Shares {
        let DeliverySettings { workers, owner_percent, .. } = *self.settings;
        Shares::new(workers, owner_percent, self.held.now()).calling(self.ways.calls)
    }

    fn begin(self: &Arc<Self>, delivery: Delivery, holding: Holding, (places, place): (&Places, Place)) {
        let this = Arc::clone(self);
        match delivery.look_up {
            None => {
                let span = trace::deliver(&delivery);
                places.spawn(place, this.send(delivery, holding).instrument(span));
            }
            Some(look_up) => {
                let span = trace::look_up(&delivery);
                places.spawn(place, async move { this.look_up(delivery, look_up, holding).await }.instrument(span));
            }
        }
    }

    async fn send(self: Arc<Self>, delivery: Delivery, holding: Holding) {
        let (sent, effects) = match delivery.target.plugin.as_str() {
            "http" => match HttpTarget::parse(&delivery.target.address) {
                Ok(target) => (target.send(&self.ways, &delivery, self.clock.now_ms()).await, Vec::new()),
                Err(reason) => (dead("invalid_target", reason), Vec::new()),
            },
            _ => connector::send(&*self.ways.destinations, &delivery).await,
        };
        // Before the lane is ready again, so that whoever is woken by that finds the owner's worker free.
        drop(holding);
        self.count(&delivery, &sent);
        if let Sent::Retry { after_ms: Some(asked_ms), counts: false, .. } = &sent {
            let now_ms = self.clock.now_ms();
            self.pacer.hold(&delivery.target, now_ms + self.wait_ms(Some(*asked_ms), 0), now_ms);
        }
        let failed = matches!(sent, Sent::Retry { counts: true, .. }).then(|| self.settings.breaker.clone());
        let lock = self.lock(&delivery, Word::from(&sent));
        let settlement = self.settlement(&delivery, sent);
        self.settle(delivery, End { settlement, looked: None, failed, lock, effects }).await;
    }

    fn lock(&self, delivery: &Delivery, word: Word) -> Option<Lock> {
        let settings = (&self.settings.pause, self.settings.max_retry_after_ms);
        pause::judge(settings, delivery.probe, word, (self.clock.now_ms(), rand::random()))
    }

    /// Writes how an attempt or a look-up ended.
    async fn settle(&self, delivery: Delivery, end: End) {
        let End { mut settlement, looked, failed, lock, effects } = end;
        // What targets answer is theirs to write, and may repeat what they were sent.
        settlement.error = settlement.error.map(|(code, detail)| (code, mask(&detail).into_owned()));
        let (id, attempt, status) = (delivery.id, delivery.attempt, settlement.status);
        let connector = lock.as_ref().and_then(|_| targets::refers_to(&delivery.target));
        let (policy, now_ms) = (self.policies().of(&delivery), self.clock.now_ms());
        let paced_ms = if delivery.look_up.is_none() && settlement.next_ms.is_none() {
            self.pacer.next_ms(&delivery.target, now_ms)
        } else {
            None
        };
        let plugin = delivery.target.plugin.clone();
        let settle = Settle { delivery, settlement, policy, looked, failed, lock, effects, paced_ms, now_ms };
        match self.store.write(settle).await {
            Ok(Settled::Done { change, paced }) => {
                if let Some(paced_ms) = paced_ms.filter(|_| paced) {
                    self.store.metrics().count_paced(&plugin, paced_ms - now_ms);
                }
                tracing::debug!(delivery = %id, attempt, ?status, "delivery {id} settled");
                log(connector, change);
            }
            // Who took it over has counted it as unknown, and whoever takes it over does.
            Ok(Settled::Lost) => {
                self.store.metrics().fenced_writes.inc();
                tracing::warn!(delivery = %id, "delivery {id} was taken over before it was settled");
            }
            Err(error) => {
                tracing::error!(delivery = %id, %error, "delivery {id} could not be settled; it is taken over after its lease")
            }
        }
    }

    fn policies(&self) -> Policies {
        Policies { destinations: Arc::clone(&self.ways.destinations), settings: Arc::clone(&self.settings) }
    }

    fn count(&self, delivery: &Delivery, sent: &Sent) {
        let metrics = self.store.metrics();
        if let Sent::Retry { after_ms: Some(asked_ms), .. } = sent {
            metrics.count_wait(&delivery.target.plugin, self.asked_ms(*asked_ms));
        }
        if !matches!(sent, Sent::Delivered { .. }) {
            trace::went_wrong();
        }
        if matches!(sent, Sent::Unknown { .. }) {
            metrics.delivery_unknown.inc();
        }
        metrics.delivery_attempts.add(match sent {
            Sent::Delivered { .. } => AttemptClass::Delivered,
            Sent::Unknown { .. } => AttemptClass::Unknown,
            Sent::Retry { counts: true, .. } => AttemptClass::Retry,
            Sent::Retry { counts: false, .. } => AttemptClass::RateLimited,
            Sent::LockedOut { .. } => AttemptClass::Unauthorized,
            Sent::Dead { .. } => AttemptClass::Dead,
        });
    }

    /// Turns an answer into the row's next state.
    fn settlement(&self, delivery: &Delivery, sent: Sent) -> Settlement {
        let (retry, now_ms) = (self.settings.retry(&delivery.target), self.clock.now_ms());
        let own = backoff::delay_ms(&retry, delivery.attempt, rand::random());
        match sent {
            Sent::Delivered { platform_id, detail } => {
                let receipt = Some(Receipt { platform_id, detail });
                Settlement { receipt, ..Settlement::of(DeliveryStatus::Delivered, None) }
            }
            Sent::Unknown { code, detail } => self.policies().unknown(delivery, (code, detail), (now_ms, own)),
            Sent::Dead { code, detail } => Settlement::of(DeliveryStatus::Dead, Some((code, detail))),
            // It is due at once, behind what has waited longer: the pause says when. However long that takes, it is not given up.
            Sent::LockedOut { code, detail, .. } => Settlement {
                uncounted: 1,
                next_ms: Some(now_ms),
                ..Settlement::of(DeliveryStatus::Pending, Some((code, detail)))
            },
            Sent::Retry { code, detail, after_ms, counts } => {
                // What the target asks for is never shortened, and never hurries the schedule (contract section 6.2).
                let next_ms = now_ms.saturating_add(self.wait_ms(after_ms, own));
                // An attempt that does not count is never the last.
                let attempt = if counts { delivery.attempt } else { 0 };
                if let Some(why) = retry.end(attempt, next_ms - delivery.created_ms) {
                    let dead = Settlement::of(DeliveryStatus::Dead, Some((code, format!("{detail} ({why})"))));
                    return Settlement { peace_ms: after_ms.map(|_| next_ms), ..dead };
                }
                Settlement {
                    uncounted: i64::from(!counts),
                    next_ms: Some(next_ms),
                    ..Settlement::of(DeliveryStatus::Pending, Some((code, detail)))
                }
            }
        }
    }

    /// A wait of the schedule's, or the longer one that was asked for, as far as it may be asked for.
    fn wait_ms(&self, asked_ms: Option<i64>, own_ms: i64) -> i64 {
        asked_ms.map_or(own_ms, |asked| self.asked_ms(asked).max(own_ms))
    }

    fn asked_ms(&self, asked_ms: i64) -> i64 {
        asked_ms.min(self.settings.max_retry_after_ms)
    }
}

/// How an attempt or a look-up ended, with what is kept of it.
struct End {
    settlement: Settlement,
    looked: Option<(String, String)>,
    failed: Option<BreakerSettings>,
    lock: Option<Lock>,
    effects: Vec<Effect>,
}

/// Says in the log that a pause of the connector began or ended.
fn log(connector: Option<ConnectorId>, change: Option<Change>) {
    let (Some(change), Some(connector)) = (change, connector) else { return };
    match change {
        Change::Began(pause) => pause::log_began(&connector.to_string(), &pause),
        Change::Ended => pause::log_ended(&connector.to_string(), pause::Cause::Probe),
    }
}
