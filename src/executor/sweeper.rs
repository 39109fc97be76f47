//! Looks for leases that ended without an answer, at start and then regularly.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    metrics::label::RunOutcome,
    queue::{
        QueueSettings,
        rescue::{Rescue, SWEEP_LIMIT},
    },
    store::{Store, StoreError},
};

/// Sweeps until `stop`. `former` names the leases of this daemon's former processes, which are given back at once: their
/// tasks died with the process. Leases of workers elsewhere keep their time.
pub async fn run(
    store: Store,
    clock: Clock,
    settings: QueueSettings,
    former: (String, String),
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let mut former = Some(former);
    let mut ticks = tokio::time::interval(Duration::from_millis(settings.sweep_interval_ms.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        let rescue = Rescue { now_ms: clock.now_ms(), max_attempts: settings.max_attempts, former: former.clone() };
        let rescued = store.write(rescue).await?;
        if rescued.seen < SWEEP_LIMIT {
            former = None;
        }
        let (requeued, failed, cancelled) = (rescued.requeued, rescued.failed, rescued.cancelled);
        if requeued + failed + cancelled > 0 {
            store.metrics().leases_lost.inc_by((requeued + failed + cancelled) as u64);
            store.metrics().runs.add_many(RunOutcome::Cancelled, cancelled as u64);
            store.metrics().runs.add_many(RunOutcome::Requeued, requeued as u64);
            store.metrics().runs.add_many(RunOutcome::Failed, failed as u64);
            tracing::warn!(
                requeued,
                failed,
                cancelled,
                "leases ended without an answer: {requeued} runs wait again, {failed} failed, {cancelled} are cancelled"
            );
        }
    }
}
