//! What an executor inside the daemon can do with an attempt, on both databases.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kheish::{
    clock::Clock,
    executor::{
        Answer, Executor,
        attempt::{Attempt, Failure},
        worker::Worker,
    },
    model::{ids::RunId, output::Output, run::Run, usage::Usage},
    outputs::{
        finish::{End, Finish, Finished},
        spend::Spend,
    },
    queue::QueueSettings,
    store::{
        Store, outputs,
        runs::{self, Fence},
    },
};
use kheish_host_tests::wait::eventually;
use tokio_util::sync::CancellationToken;

use super::{Accepted, RunStatus, accept, desk, event, post};

/// Three attempts, short waits, and leases that are looked after every 100 ms.
fn settings() -> QueueSettings {
    QueueSettings {
        default_lease_ms: 600,
        max_attempts: 3,
        retry_wait_ms: 20,
        retry_wait_max_ms: 40,
        poll_interval_ms: 10,
        ..QueueSettings::default()
    }
}

/// Says `thought`, spends, and does as the text of the run says.
struct Scripted {
    over: Mutex<Option<CancellationToken>>,
}

#[async_trait]
impl Executor for Scripted {
    async fn perform(&self, run: &Run, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
        *self.over.lock().unwrap() = Some(attempt.over());
        assert_eq!(attempt.say(vec![said("thought")]).await?, 1);
        attempt.spend(Usage { input_tokens: 10, model: Some("m".to_owned()), ..Usage::default() }).await?;
        let passing = Failure::passing("busy", "the other side is busy".to_owned());
        match run.request.actor.as_deref() {
            Some("second") if run.attempt < 2 => Err(passing.not_before(30)),
            Some("never") => Err(passing),
            Some("fatal") => Err(Failure::fatal("refused", "the other side does not want it".to_owned())),
            Some("endless") => std::future::pending().await,
            _ => Ok(vec![said("answer")].into()),
        }
    }
}

fn said(text: &str) -> Output {
    Output::from(text.to_owned())
}

/// A worker over a store, and the runs that it is given.
struct Bench {
    store: Store,
    clock: Clock,
    executor: Arc<Scripted>,
    stop: CancellationToken,
}

impl Bench {
    fn start(store: &Store) -> Self {
        let (clock, stop) = (Clock::system(), CancellationToken::new());
        let executor = Arc::new(Scripted { over: Mutex::new(None) });
        let own = Arc::clone(&executor);
        let worker = Worker::new(store.clone(), desk(&clock), settings(), "daemon:test".to_owned(), post(own));
        tokio::spawn(worker.run(stop.clone()));
        Self { store: store.clone(), clock, executor, stop }
    }

    async fn give(&self, wish: &str) -> RunId {
        let mut event = event(&self.clock, wish, wish, "one");
        event.entries[0].request.actor = Some(wish.to_owned());
        let Ok(Accepted::Fresh(run, _)) = accept(&self.store, event).await else { panic!("it was there before") };
        run.id
    }

    async fn when(&self, id: RunId, status: RunStatus) -> Run {
        eventually("the run stands so", async || {
            runs::get(&self.store, id).await.unwrap().filter(|run| run.status == status)
        })
        .await
    }

    async fn texts(&self, run: &Run) -> Vec<String> {
        let said = outputs::of_run(&self.store, run).await.unwrap();
        said.into_iter().map(|said| said.content).collect()
    }
}

pub(crate) async fn a_failure_says_whether_another_attempt_may_help(stores: Vec<Store>) {
    let bench = Bench::start(&stores[0]);
    let run = bench.give("second").await;
    let run = bench.when(run, RunStatus::Completed).await;
    assert_eq!((run.attempt, bench.texts(&run).await), (2, vec!["thought".to_owned(), "answer".to_owned()]));
    let usage = run.usage.clone().unwrap();
    assert_eq!((usage.input_tokens, usage.model.as_deref()), (20, Some("m")), "both attempts spent");
    let run = bench.give("never").await;
    let run = bench.when(run, RunStatus::Failed).await;
    assert_eq!((run.attempt, run.error.unwrap().code.as_str()), (3, "busy"));
    let run = bench.give("fatal").await;
    let run = bench.when(run, RunStatus::Failed).await;
    assert_eq!((run.attempt, run.error.unwrap().code.as_str()), (1, "refused"));
    bench.stop.cancel();
}

pub(crate) async fn an_attempt_is_over_with_its_lease(stores: Vec<Store>) {
    let bench = Bench::start(&stores[0]);
    let id = bench.give("endless").await;
    let run = eventually("the attempt has said something", async || {
        let run = runs::get(&bench.store, id).await.unwrap()?;
        (run.usage.is_some() && bench.texts(&run).await.len() == 1).then_some(run)
    })
    .await;
    let over = bench.executor.over.lock().unwrap().clone().unwrap();
    assert!(!over.is_cancelled());
    let fence = Fence { run: id, epoch: run.epoch };
    let end = End::Retry { wait_ms: 600_000 };
    let given_back = Finish { fence, end, desk: desk(&bench.clock) };
    assert_eq!(bench.store.write(given_back).await.unwrap(), Finished::Done(id));
    eventually("the attempt is over", async || over.is_cancelled().then_some(())).await;
    let late = Spend { fence, usage: Usage { input_tokens: 1, ..Usage::default() } };
    assert!(!bench.store.write(late).await.unwrap(), "what is over spends nothing");
    assert_eq!(bench.when(id, RunStatus::Queued).await.usage.unwrap().input_tokens, 10);
    bench.stop.cancel();
}
