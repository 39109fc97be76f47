//! Cancellation while other daemons claim, and an executor of the daemon's own that is stopped.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kheish::{
    clock::Clock,
    executor::{
        Answer, Executor,
        attempt::{Attempt, Failure},
        worker::Worker,
    },
    ingress::accept::Accepted,
    lifecycle::Phase,
    model::{
        ids::RunId,
        run::{Run, RunStatus},
    },
    queue::{
        QueueSettings,
        cancel::{Cancel, Cancelled},
    },
    store::{Store, runs},
};

use tokio::sync::mpsc;

use super::{accept, claim, desk, event, finish, post, sqlite};

async fn cancel(store: &Store, clock: &Clock, run: RunId) -> Cancelled {
    store.write(Cancel { run, now_ms: clock.now_ms() }).await.unwrap()
}

pub(super) async fn a_run_that_waits_or_runs_is_cancelled_once(stores: Vec<Store>) {
    let clock = Clock::system();
    let (one, other) = (&stores[0], stores.last().unwrap());
    let mut made = Vec::new();
    for key in ["a", "b"] {
        let Ok(Accepted::Fresh(run, _)) = accept(one, event(&clock, "s", key, key)).await else { panic!() };
        made.push(run.id);
    }
    let held = claim(one, &clock, 10).await.remove(0);
    assert_eq!(cancel(other, &clock, held.run.id).await, Cancelled::Asked);
    assert_eq!(cancel(one, &clock, held.run.id).await, Cancelled::Asked);
    assert_eq!(cancel(other, &clock, made[1]).await, Cancelled::AtOnce);
    assert_eq!(cancel(one, &clock, made[1]).await, Cancelled::Ended(RunStatus::Cancelled));
    finish(one, &clock, &held).await;
    assert_eq!(cancel(other, &clock, held.run.id).await, Cancelled::Ended(RunStatus::Cancelled));
    assert!(claim(other, &clock, 10).await.is_empty());
    let run = runs::get(other, held.run.id).await.unwrap().unwrap();
    assert_eq!((run.status, run.cancel_ms.is_some()), (RunStatus::Cancelled, true));
}

/// Says when it begins, never ends by itself, and says when it was dropped.
struct Endless(mpsc::UnboundedSender<&'static str>);

struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
    }
}

#[async_trait]
impl Executor for Endless {
    async fn perform(&self, _: &Run, _: &Attempt<'_>) -> Result<Answer, Failure> {
        let told = Told(self.0.clone());
        told.0.send("begun").unwrap();
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_of_the_daemons_own_is_stopped_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock, phase) = (sqlite(folder.path()).await, Clock::system(), Phase::default());
    let (tell, mut told) = mpsc::unbounded_channel();
    // The next heartbeat is minutes away: only the wake-up can be in time.
    let settings = QueueSettings { default_lease_ms: 3_600_000, poll_interval_ms: 10, ..QueueSettings::default() };
    let worker =
        Worker::new(store.clone(), desk(&clock), settings, "daemon:me".to_owned(), post(Arc::new(Endless(tell))));
    let working = tokio::spawn(worker.run(phase.token()));
    for key in ["a", "b"] {
        let Ok(Accepted::Fresh(run, _)) = accept(&store, event(&clock, "s", key, key)).await else { panic!() };
        assert_eq!(told.recv().await, Some("begun"));
        assert_eq!(cancel(&store, &clock, run.id).await, Cancelled::Asked);
        let dropped = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
        assert_eq!(dropped, Ok(Some("dropped")));
        while runs::get(&store, run.id).await.unwrap().unwrap().status != RunStatus::Cancelled {
            tokio::task::yield_now().await;
        }
    }
    working.abort();
}
