//! What exactly one of several daemons on the same store does: fetching a bot's events, running a connector's program.
//!
//! Whoever does it holds a lease, which it renews. A daemon that cannot renew in time stops by itself, and what it would
//! make durable is fenced by the duty's epoch, so that one that slept past its lease does no harm.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
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
        Ok(Arc::new(Self { store, clock, owner, taken: AtomicI64::new(0), lease }))
    }

    /// Takes a duty. None when another daemon has it.
    pub async fn take(&self, name: &str) -> Result<Option<Duty>, StoreError> {
        let epoch = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let duty = Duty { name: name.to_owned(), owner: self.owner.clone(), epoch };
        let take = Take { duty: duty.clone(), now_ms: self.clock.now_ms(), until_ms: self.until_ms() };
        Ok(self.store.write(take).await?.then_some(duty))
    }

    /// Keeps a duty for another lease. False when somebody else has it by now.
    pub async fn renew(&self, duty: &Duty) -> Result<bool, StoreError> {
        self.store.write(Renew { duty: duty.clone(), until_ms: self.until_ms() }).await
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
                    self.while_held(&duty, asked, &lost, work(duty.clone(), lost.clone())).await;
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

    async fn while_held(&self, duty: &Duty, asked: Instant, lost: &CancellationToken, work: impl Future<Output = ()>) {
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => return,
            () = self.keep(duty, asked) => {}
        }
        tracing::warn!(
            name = duty.name,
            "the duty {} is lost to another daemon, or was not renewed in time",
            duty.name
        );
        lost.cancel();
        work.await;
    }

    /// Renews until that fails.
    async fn keep(&self, duty: &Duty, asked: Instant) {
        let mut until = asked + self.lease;
        loop {
            tokio::time::sleep(self.third()).await;
            let asked = Instant::now();
            match timeout_at(until, self.renew(duty)).await {
                Ok(Ok(true)) => until = asked + self.lease,
                Ok(Err(error)) if Instant::now() < until => {
                    tracing::warn!(%error, name = duty.name, "the duty {} was not renewed: {error}", duty.name);
                }
                _ => return,
            }
        }
    }

    fn third(&self) -> Duration {
        self.lease / 3
    }

    fn until_ms(&self) -> i64 {
        self.clock.now_ms().saturating_add(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX))
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
    duty: Duty,
    until_ms: i64,
}

impl Command for Renew {
    type Reply = bool;

    async fn apply(batch: &[Self], tx: &mut Tx<'_>) -> Result<Vec<bool>, StoreError> {
        let mut renewed = Vec::with_capacity(batch.len());
        for Self { duty, until_ms } in batch {
            renewed.push(duties::renew(tx, duty, *until_ms).await?);
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
