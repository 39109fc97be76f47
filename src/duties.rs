//! What exactly one of several daemons on the same store does: fetching a bot's events, running a connector's program.
//!
//! Whoever does it holds a lease. A daemon renews all of its leases together, so that what it does costs a commit now and then
//! however much it is. One that cannot renew in time stops by itself, and what it would make durable is fenced by the duty's
//! epoch, so that one that slept past its lease does no harm.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::duties::DutySettings,
    store::{
        Store, StoreError,
        duties::{self, Duty},
        writer::{Command, Tx},
    },
};

/// Takes and renews duties for one daemon.
pub struct Duties {
    store: Store,
    clock: Clock,
    owner: String,
    /// How often something was taken.
    taken: AtomicI64,
    lease: Duration,
    /// What is renewed, by somebody who performs it.
    held: Mutex<HashSet<Duty>>,
    renewed: watch::Sender<Renewed>,
}

/// How the last renewal went.
struct Renewed {
    asked: Instant,
    /// What is still had. What was taken after it was asked for is not in it either.
    kept: HashSet<Duty>,
}

impl Duties {
    /// For a process of its own. What former ones of the `family` had is free at once: nobody else may be of it, so it has to be
    /// the family of whoever has locked a state folder.
    pub async fn open(
        store: Store,
        clock: Clock,
        family: &str,
        settings: &DutySettings,
    ) -> Result<Arc<Self>, StoreError> {
        let owner = format!("{family}{}", clock.instance_id());
        let lease = Duration::from_millis(settings.lease_ms.max(3));
        store.write(Forget { family: family.to_owned(), me: owner.clone() }).await?;
        let duties = Arc::new(Self {
            store,
            clock,
            owner,
            taken: AtomicI64::new(0),
            lease,
            held: Mutex::default(),
            renewed: watch::Sender::new(Renewed { asked: Instant::now(), kept: HashSet::new() }),
        });
        tokio::spawn(keep_renewing(Arc::downgrade(&duties), duties.third()));
        Ok(duties)
    }

    /// Takes a duty. None when another daemon has it.
    pub async fn take(&self, name: &str) -> Result<Option<Duty>, StoreError> {
        let epoch = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let duty = Duty { name: name.to_owned(), owner: self.owner.clone(), epoch };
        let take = Take { duty: duty.clone(), now_ms: self.clock.now_ms(), until_ms: self.until_ms() };
        Ok(self.store.write(take).await?.then_some(duty))
    }

    /// Keeps duties for another lease, and says which: not those that somebody else has by now.
    pub async fn renew(&self, held: HashSet<Duty>) -> Result<HashSet<Duty>, StoreError> {
        self.store.write(Renew { held, until_ms: self.until_ms() }).await
    }

    /// Lets go of a duty, for whoever comes next.
    pub async fn release(&self, duty: Duty) -> Result<(), StoreError> {
        self.store.write(Release(duty)).await
    }

    /// Does `work` while this daemon has the duty, until it ends by itself or `stop`. Its token tells that the duty was lost, or
    /// says so: then it ends, and begins anew when the duty is had again. `elsewhere` hears that another daemon has it.
    pub async fn perform<F: Future<Output = ()>>(
        &self,
        name: &str,
        stop: &CancellationToken,
        elsewhere: impl Fn(),
        work: impl Fn(Duty, CancellationToken) -> F,
    ) {
        while !stop.is_cancelled() {
            let asked = Instant::now();
            match self.take(name).await {
                Ok(Some(duty)) => {
                    let lost = stop.child_token();
                    self.while_held(&duty, asked + self.lease, &lost, work(duty.clone(), lost.clone())).await;
                    if let Err(error) = self.release(duty).await {
                        tracing::warn!(%error, name, "the duty {name} could not be let go: {error}");
                    }
                    if !lost.is_cancelled() {
                        return;
                    }
                    continue;
                }
                Ok(None) => elsewhere(),
                Err(error) => tracing::warn!(%error, name, "the duty {name} could not be taken: {error}"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.third()) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn while_held(&self, duty: &Duty, until: Instant, lost: &CancellationToken, work: impl Future<Output = ()>) {
        let held = Held::new(self, duty);
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => return,
            () = held.until_lost(until) => {}
        }
        tracing::warn!(
            name = duty.name,
            "the duty {} is lost to another daemon, or was not renewed in time",
            duty.name
        );
        lost.cancel();
        work.await;
    }

    async fn renew_held(&self) {
        // First, so that whoever is not among them knows that it came later.
        let asked = Instant::now();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if held.is_empty() {
            return;
        }
        match self.renew(held).await {
            Ok(kept) => drop(self.renewed.send_replace(Renewed { asked, kept })),
            Err(error) => tracing::warn!(%error, "this daemon's duties were not renewed: {error}"),
        }
    }

    fn third(&self) -> Duration {
        self.lease / 3
    }

    fn until_ms(&self) -> i64 {
        self.clock.now_ms().saturating_add(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Renews every third of a lease, for as long as there is anybody to do it for.
async fn keep_renewing(duties: Weak<Duties>, third: Duration) {
    loop {
        tokio::time::sleep(third).await;
        let Some(duties) = duties.upgrade() else { return };
        duties.renew_held().await;
    }
}

/// A duty that is renewed with the others.
struct Held<'d> {
    duties: &'d Duties,
    duty: &'d Duty,
    /// Renewals that were asked for before say nothing about it.
    since: Instant,
}

impl<'d> Held<'d> {
    /// For a duty that was just taken.
    fn new(duties: &'d Duties, duty: &'d Duty) -> Self {
        duties.held.lock().unwrap_or_else(PoisonError::into_inner).insert(duty.clone());
        Self { duties, duty, since: Instant::now() }
    }

    /// Ends when somebody else has it, or when `until` is over, to which each renewal adds.
    async fn until_lost(&self, mut until: Instant) {
        let mut renewed = self.duties.renewed.subscribe();
        while let Ok(Ok(())) = timeout_at(until, renewed.changed()).await {
            let last = renewed.borrow_and_update();
            if last.kept.contains(self.duty) {
                until = last.asked + self.duties.lease;
            } else if last.asked > self.since {
                return;
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.duties.held.lock().unwrap_or_else(PoisonError::into_inner).remove(self.duty);
    }
}

struct Forget {
    family: String,
    me: String,
}

impl Command for Forget {
    type Reply = u64;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<u64>, StoreError> {
        let mut forgotten = Vec::with_capacity(batch.len());
        for Self { family, me } in batch {
            forgotten.push(duties::forget(tx, family, me).await?);
        }
        Ok(forgotten)
    }
}

struct Take {
    duty: Duty,
    now_ms: i64,
    until_ms: i64,
}

impl Command for Take {
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut taken = Vec::with_capacity(batch.len());
        for Self { duty, now_ms, until_ms } in batch {
            taken.push(duties::take(tx, duty, (*now_ms, *until_ms)).await?);
        }
        Ok(taken)
    }
}

struct Renew {
    held: HashSet<Duty>,
    until_ms: i64,
}

impl Command for Renew {
    type Reply = HashSet<Duty>;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<HashSet<Duty>>, StoreError> {
        let mut renewed = Vec::with_capacity(batch.len());
        for Self { held, until_ms } in batch {
            renewed.push(duties::renew(tx, held, *until_ms).await?);
        }
        Ok(renewed)
    }
}

struct Release(Duty);

impl Command for Release {
    type Reply = ();

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<()>, StoreError> {
        for Self(duty) in batch {
            duties::release(tx, duty).await?;
        }
        Ok(vec![(); batch.len()])
    }
}
